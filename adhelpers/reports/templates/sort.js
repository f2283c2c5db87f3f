"use strict";
// A click on a column's name sorts the rows of its table by it, a second one the other way round.
(() => {
  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    const heads = [...table.querySelectorAll("thead th")];
    for (const head of heads) {
      const button = head.querySelector("button");
      if (!button) continue;
      const key = (row) => {
        const cell = row.querySelector(`[data-column="${head.dataset.column}"]`);
        const text = cell ? (cell.dataset.sort ?? cell.textContent).trim() : "";
        return text === "–" ? "" : text;
      };
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        // All figures of a column have the same number of decimals, so their digits can be compared.
        const compare = (a, b) => a.localeCompare(b, "en", { numeric: true });
        const order = (first, second) => {
          const [a, b] = [key(first), key(second)];
          // What has no value comes last, whichever way the rest is sorted.
          if (!a || !b) return !a - !b;
          return up ? compare(a, b) : compare(b, a);
        };
        body.append(...[...body.rows].sort(order));
      });
    }
  }
})();
