const data = JSON.parse(document.getElementById("specs").textContent);
// On a phone, long names give way.
const narrow = window.matchMedia("(max-width: 520px)").matches;
if (narrow) {
  data.config.legend.columns = 2;
  data.config.axisY.labelLimit = 120;
  // A title wider than its chart has room at the left, a number at the edge has none.
  data.config.axisX.titleAnchor = "end";
  data.config.axisXQuantitative.labelBound = true;
}
const options = {
  actions: false,
  renderer: "svg",
  defaultStyle: false,
  tooltip: { disableDefaultStyle: true },
  config: data.config,
};
const drawn = new Map();
// Vega writes a description of its own over what stands there.
const labels = data.specs.map((_, index) => document.getElementById(`chart-${index}`).getAttribute("aria-label"));

// Fewer names fit there: each point knows where its own goes. A layer of no names is left out.
const fitting = (spec) => {
  const field = narrow ? "narrow" : "place";
  const kept = spec.layer?.flatMap((layer) => {
    const where = layer.transform?.[0].filter?.match?.(/^datum\.place === '(\w+)'$/)?.[1];
    if (!where) return [layer];
    const some = spec.datasets[spec.data.name].some((value) => value[field] === where);
    return some ? [{ ...layer, transform: [{ filter: `datum.${field} === '${where}'` }] }] : [];
  });
  return kept ? { ...spec, layer: kept } : spec;
};

async function draw(index, spec) {
  const before = drawn.get(index);
  const now = (async () => {
    (await before)?.finalize();
    return window.vegaEmbed(`#chart-${index}`, { ...fitting(spec), description: labels[index] }, options);
  })();
  drawn.set(index, now);
  await now;
}

data.specs.forEach((spec, index) => draw(index, spec));

for (const [index, choices] of Object.entries(data.choices)) {
  const chart = document.getElementById(`chart-${index}`);
  const figure = chart.closest("figure");
  const selects = [...figure.querySelectorAll("select")];
  const title = labels[index];
  const said = figure.querySelector("output");
  const matches = (choice, wanted) => wanted.every((key, at) => key === null || choice.key[at] === key);
  const current = () => selects.map((select) => select.value);

  // What the other choices leave: nothing else can be chosen.
  const offer = () => {
    selects.forEach((select, at) => {
      for (const option of select.options) {
        const wanted = current();
        wanted[at] = option.value;
        if (at === 0) wanted.fill(null, 1);
        option.disabled = !choices.some((choice) => matches(choice, wanted));
      }
    });
  };

  const choose = (at) => {
    const wanted = current();
    // What was chosen last stays; of the others as much as there is a chart of.
    const order = [at, ...wanted.keys()].filter((place, i, all) => all.indexOf(place) === i);
    const asked = wanted.map(() => null);
    for (const place of order) {
      const more = Object.assign([...asked], { [place]: wanted[place] });
      if (choices.some((choice) => matches(choice, more))) asked[place] = wanted[place];
    }
    const found = choices.find((choice) => matches(choice, asked));
    selects.forEach((select, place) => (select.value = found.key[place]));
    offer();
    const words = selects.map((select) => `${select.dataset.label}: ${select.selectedOptions[0].text}`);
    labels[index] = `${title}, ${words.join(", ")}`;
    said.textContent = `Showing ${words.join(", ")}`;
    return draw(Number(index), found.spec);
  };
  selects.forEach((select, at) => select.addEventListener("change", () => choose(at)));
  offer();
}
