// A click on a column's name sorts the rows by it, a second one the other way round.
const body = document.querySelector("tbody");
for (const [column, head] of document.querySelectorAll("thead th").entries()) {
  const button = head.querySelector("button");
  if (!button) continue;
  button.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    document.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[column] ? row.cells[column].textContent.trim() : "";
    const order = (first, second) => {
      const [a, b] = [value(first), value(second)];
      const [x, y] = [parseFloat(a), parseFloat(b)];
      return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
    };
    const rows = [...body.rows].sort(order);
    body.append(...(up ? rows : rows.reverse()));
  });
}
