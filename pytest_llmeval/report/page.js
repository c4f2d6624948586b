"use strict";
(() => {
  const value = (row, column) => row.cells[column].dataset.v ?? "";
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");  // what was not measured comes last either way
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  const sort = (table, head, column) => {
    const up = head.getAttribute("aria-sort") === "descending";
    for (const other of head.parentElement.cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const measured = (row) => value(row, column) !== "";
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const order = compare(value(a, column), value(b, column));
      return up || !(measured(a) && measured(b)) ? order : -order;
    });
    table.tBodies[0].append(...rows);
  };
  for (const table of document.querySelectorAll(".sortable-table")) {
    [...[...table.tHead.rows].at(-1).cells].forEach((head, column) => {
      head.setAttribute("aria-sort", "none");
      head.tabIndex = 0;
      head.addEventListener("click", () => sort(table, head, column));
      head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(table, head, column); });
    });
  }
  const filter = document.getElementById("ll-filter");
  const differ = document.getElementById("ll-differ");
  if (filter && differ) {
    const rows = [...document.querySelectorAll(".grid tbody tr")];
    const narrow = () => {
      const wanted = filter.value.toLowerCase();
      for (const row of rows) {
        const named = row.cells[0].textContent.toLowerCase().includes(wanted);
        row.classList.toggle("away", !named || (differ.checked && !row.classList.contains("differ")));
      }
    };
    filter.addEventListener("input", narrow);
    differ.addEventListener("change", narrow);
    filter.closest(".tools").hidden = false;
  }
  const open = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    const item = target && target.closest("details.item");
    for (let block = item; block; block = block.parentElement.closest("details")) block.open = true;
    if (item) item.scrollIntoView();
  };
  addEventListener("hashchange", open);
  addEventListener("load", open);
})();
