"""The page's only script: sorts and filters tables, copies commands. The page is complete without it."""

import base64
import hashlib

SCRIPT = """
(() => {
  "use strict";
  const number = (text) => parseFloat(text.replace(/,/g, "").replace("\\u2212", "-"));
  const cell = (row, place) => row.cells[place].textContent.trim();
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) {
      return Number.isNaN(x) && Number.isNaN(y) ? a.localeCompare(b, "en") : Number.isNaN(x) ? 1 : -1;
    }
    return x - y;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const known = (row) => cell(row, place) !== "\\u2013";
        const rows = [...body.rows].map((row) => [row, cell(row, place), known(row)]);
        rows.sort((a, b) => (a[2] !== b[2] ? (a[2] ? -1 : 1) : (up ? 1 : -1) * compare(a[1], b[1])));
        body.append(...rows.map(([row]) => row));
      });
    });
  }
  for (const input of document.querySelectorAll("input[data-filters]")) {
    input.closest("label").hidden = false;
    const rows = [...document.getElementById(input.dataset.filters).querySelectorAll("tbody tr")];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const count = input.closest("label").querySelector("output");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, place) => {
        row.hidden = !words.every((word) => texts[place].includes(word));
        shown += !row.hidden;
      });
      count.textContent = words.length ? `${shown} of ${rows.length}` : "";
    });
  }
  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    const code = button.parentElement.querySelector("code");
    button.addEventListener("click", () => {
      const range = document.createRange();
      range.selectNodeContents(code);
      const chosen = window.getSelection();
      chosen.removeAllRanges();
      chosen.addRange(range);
      // The clipboard API is not available to a page opened from a file.
      const copied = document.execCommand("copy");
      button.textContent = copied ? "Copied" : "Press Ctrl+C";
      window.setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
})();
"""

SCRIPT_SOURCE = "'sha256-" + base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode() + "'"
"""The script's hash for the content security policy, which allows only this script."""
