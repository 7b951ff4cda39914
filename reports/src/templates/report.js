// Sorts a table by the column whose heading is pressed. Without it the table stands as it was written.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const number = (cell) =>
    parseFloat(cell.dataset.v ?? cell.textContent.replace("\u2212", "-").replace("+", ""));
  headings.forEach((heading, column) => {
    const isNumber = heading.classList.contains("number");
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const isUp = before ? before === "descending" : !isNumber;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", isUp ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => {
        const cell = row.cells[column];
        return { row, key: isNumber ? number(cell) : cell.textContent };
      });
      // What has no number comes last, whichever way.
      rows.sort((a, b) => {
        if (!isNumber) return isUp ? compare(a.key, b.key) : compare(b.key, a.key);
        if (isNaN(a.key) || isNaN(b.key)) return isNaN(a.key) - isNaN(b.key);
        return isUp ? a.key - b.key : b.key - a.key;
      });
      body.append(...rows.map((one) => one.row));
    });
  });
}
