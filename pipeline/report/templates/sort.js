document.querySelectorAll("table.sortable").forEach(function (table) {
  var body = table.tBodies[0];
  Array.prototype.forEach.call(table.tHead.rows[0].cells, function (head, column) {
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent.trim();
    head.textContent = "";
    head.appendChild(button);
    button.addEventListener("click", function () {
      var up = head.getAttribute("aria-sort") !== "ascending";
      var key = function (row) {
        var cell = row.cells[column];
        return "value" in cell.dataset ? (cell.dataset.value === "" ? NaN : +cell.dataset.value) : cell.textContent.trim();
      };
      var order = function (one, other) {
        var a = key(one), b = key(other);
        if (a !== a || b !== b) return (a !== a) - (b !== b);
        var by = typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
        return up ? by : -by;
      };
      Array.from(body.rows).sort(order).forEach(function (row) { body.appendChild(row); });
      Array.prototype.forEach.call(table.tHead.rows[0].cells, function (cell) { cell.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
    });
  });
});
