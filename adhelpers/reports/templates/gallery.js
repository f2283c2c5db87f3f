"use strict";
(() => {
  const list = document.getElementById("cards");
  if (!list) return;
  const cards = [...list.children];
  const controls = document.getElementById("controls");
  const filters = [...controls.querySelectorAll("[data-filter]")];
  const sort = document.getElementById("sort");
  const viewer = document.getElementById("viewer");
  const image = document.getElementById("viewer-image");
  const strip = image.parentElement;
  let shown = cards;
  let current = 0;

  function update() {
    shown = cards.filter((card) => filters.every((filter) => !filter.value || card.dataset[filter.dataset.filter] === filter.value));
    const [key, direction] = sort.value.split(" ");
    const value = (card) => (key in card.dataset ? Number(card.dataset[key]) : NaN);
    shown.sort((a, b) => {
      // What has no value comes last, whichever way the rest is sorted.
      if (Number.isNaN(value(a)) || Number.isNaN(value(b))) return Number.isNaN(value(a)) - Number.isNaN(value(b));
      return direction === "up" ? value(a) - value(b) : value(b) - value(a);
    });
    for (const card of cards) card.hidden = true;
    for (const card of shown) card.hidden = false;
    list.append(...shown);
    document.getElementById("count").textContent = `${shown.length} of ${cards.length} images`;
    document.getElementById("none").hidden = shown.length > 0;
  }

  function show(position) {
    current = (position + shown.length) % shown.length;
    const card = shown[current];
    const picture = card.querySelector("img");
    viewer.dataset.verdict = card.dataset.verdict || "";
    image.src = picture.src;
    image.alt = picture.alt;
    document.getElementById("viewer-name").textContent = card.querySelector("bdi").textContent;
    document.getElementById("viewer-position").textContent = `${current + 1} of ${shown.length}`;
    document.getElementById("viewer-facts").replaceChildren(...[...card.querySelector(".facts").children].map((part) => part.cloneNode(true)));
    if (!viewer.open) viewer.showModal();
  }

  controls.addEventListener("change", update);
  controls.addEventListener("submit", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const button = event.target.closest(".enlarge");
    if (button) show(shown.indexOf(button.closest(".card")));
  });
  document.getElementById("previous").addEventListener("click", () => show(current - 1));
  document.getElementById("next").addEventListener("click", () => show(current + 1));
  // The event "close" comes later: a key that is pressed in between would open the picture that the reader began with.
  const leave = () => {
    viewer.close();
    shown[current].querySelector(".enlarge").focus();
  };
  document.getElementById("close").addEventListener("click", leave);
  viewer.addEventListener("cancel", (event) => {
    event.preventDefault();
    leave();
  });
  viewer.addEventListener("click", (event) => { if (event.target === viewer) leave(); });
  viewer.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      event.preventDefault();
      if (event.shiftKey) strip.scrollBy({ left: step * strip.clientWidth / 2 });
      else show(current + step);
    }
  });

  for (const one of document.querySelectorAll(".strip")) {
    const tell = () => one.classList.toggle("more", one.scrollLeft + one.clientWidth < one.scrollWidth - 1);
    const sizes = new ResizeObserver(tell);
    sizes.observe(one);
    sizes.observe(one.querySelector("img"));
    one.addEventListener("scroll", tell, { passive: true });
  }

  controls.hidden = false;
  update();
})();
