for (const box of document.querySelectorAll("[data-filters]")) {
  const rows = [...document.querySelectorAll(`#${box.dataset.filters} tbody tr`)];
  const text = box.querySelector("input");
  const picks = [...box.querySelectorAll("select")];
  const shown = box.querySelector("output");
  const apply = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const content = row.textContent.toLowerCase();
      const fits = words.every((word) => content.includes(word)) &&
        picks.every((pick) => !pick.value || row.dataset[pick.name] === pick.value);
      row.hidden = !fits;
      count += fits;
    }
    shown.textContent = `${count} of ${rows.length}`;
  };
  text.addEventListener("input", apply);
  picks.forEach((pick) => pick.addEventListener("change", apply));
  apply();
}
