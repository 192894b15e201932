// What the page carries: the meta object, the arrays of each moment, and the images with the frames.

const byId = (id) => document.getElementById(id);
const meta = JSON.parse(byId("meta").textContent);
const TYPES = { u8: BigUint64Array, f4: Float32Array, u4: Uint32Array, i4: Int32Array };
const KEPT_TABLES = 6;
const tables = new Map(); // index of the moment -> promise of its Table, the one used last at the end
const images = new Map();

/** The arrays that `packed` in explorer_data.py put into the element `id`, by name. */
async function unpack(id) {
  const zipped = Uint8Array.from(atob(byId(id).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream("deflate"));
  const content = await new Response(stream).arrayBuffer();
  const begin = 8 + new DataView(content).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(content, 8, begin - 8)));
  const arrays = {};
  for (const [name, [type, offset, length]] of Object.entries(header)) {
    arrays[name] = new TYPES[type](content, begin + offset, length);
  }
  return arrays;
}

function loadTable(index) {
  const found = tables.get(index) ?? unpack(`table-${index}`).then((arrays) => new Table(index, arrays));
  tables.delete(index);
  tables.set(index, found);
  if (tables.size > KEPT_TABLES) tables.delete(tables.keys().next().value);
  return found;
}

/** The image that holds all frames of a kind of a moment. */
function loadImage(index, kind) {
  const id = `image-${index}-${kind}`;
  if (!images.has(id)) {
    const image = new Image();
    image.src = `data:image/webp;base64,${byId(id).textContent}`;
    images.set(id, image.decode().then(() => image));
  }
  return images.get(id);
}

/** A canvas with one frame, about `size` pixels wide; it is drawn as soon as the image is there. */
function frameCanvas(table, node, kind, size) {
  const { size: [width, height], margin, columns } = meta.moments[table.index].frames[kind];
  const number = table.frames[kind][node];
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  canvas.style.width = `${size}px`;
  canvas.style.height = `${Math.round((size * height) / width)}px`;
  loadImage(table.index, kind).then((image) => {
    const [column, row] = [number % columns, Math.floor(number / columns)];
    const [x, y] = [column * (width + 2 * margin) + margin, row * (height + 2 * margin) + margin];
    canvas.getContext("2d").drawImage(image, x, y, width, height, 0, 0, width, height);
    canvas.dataset.drawn = "1";
  });
  return canvas;
}

/** The kinds of frames that show a code: decoded before seen. */
const kindsOf = (table, node) => table.frames.map((_, kind) => kind).filter((kind) => table.frames[kind][node] >= 0);
