"""A headless browser for pages: it runs a script on a copy of a page and gives back what the script returns."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_RUNNER = """
<script>
(async () => {
  const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  const problems = [];
  // The browser's clock leaps over every pause, but what other threads do takes real time: so turns of the event
  // loop, which take no time on that clock, stand between short pauses.
  const turn = () => new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = done;
    port2.postMessage(0);
  });
  const until = async (condition) => {
    for (let pauses = 0; pauses < 1000; pauses++) {
      for (let turns = 0; turns < 100; turns++) {
        if (condition()) return;
        await turn();
      }
      await sleep(10);
    }
    throw new Error(`in vain: ${condition}`);
  };
  addEventListener("error", (event) => problems.push(event.message));
  addEventListener("unhandledrejection", (event) => problems.push(String(event.reason)));
  addEventListener("securitypolicyviolation", (event) => problems.push(`forbidden: ${event.blockedURI}`));
  let result;
  try {
    await until(() => document.documentElement.dataset.ready);
    result = await (async () => { SCRIPT })();
  } catch (error) {
    problems.push(error.stack);
  }
  const answer = document.createElement("pre");
  answer.id = "answer";
  answer.textContent = JSON.stringify({ result, problems });
  document.body.append(answer);
})();
</script>
"""


def visit(page: Path, script: str, address: str = "") -> Any:
    """What `script`, the body of an async function, returns in `page` at an address such as `#step=1`.

    The script may await `until(condition)` and `sleep(milliseconds)`.

    Fails where anything in the page throws, or reaches for what its policy forbids.
    """
    assert BROWSER is not None
    text = page.read_text(encoding="utf-8")
    end = text.rindex("</body>")
    copy = page.with_name(f"visited-{page.name}")
    copy.write_text(text[:end] + _RUNNER.replace("SCRIPT", script) + text[end:], encoding="utf-8")
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        f"--user-data-dir={page.parent / 'profile'}",
        "--window-size=1300,900",
        "--virtual-time-budget=120000",
        "--dump-dom",
        f"{copy.as_uri()}{address}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    found = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    answer = json.loads(html.unescape(found[1]))
    assert not answer["problems"], "\n".join(answer["problems"])
    return answer["result"]
