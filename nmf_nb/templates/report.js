"use strict";
(async () => {
  const $ = (id) => document.getElementById(id);
  const PER_PAGE = 10, LONG = 1200, SVG = "http://www.w3.org/2000/svg";
  const percent = (x) => (100 * x).toFixed(x < 0.0995 ? 1 : 0) + "\u00a0%";
  const number = (x) => x.toLocaleString("en-GB");

  // An element with attributes and children. A string becomes a text node: data is never read as HTML.
  const make = (tag, attributes = {}, ...inside) => {
    const node = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...inside);
    return node;
  };
  const button = (attributes, press, ...inside) => {
    const node = make("button", { type: "button", ...attributes }, ...inside);
    node.addEventListener("click", press);
    return node;
  };
  const bdi = (text) => make("bdi", {}, text);

  async function unpack() {
    if (!("DecompressionStream" in window)) {
      throw new Error("this browser lacks DecompressionStream; Chrome 80, Firefox 113, Safari 16.4 and later have it");
    }
    const bytes = Uint8Array.from(atob($("data").textContent.trim()), (c) => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
  }

  function start({ topics, words, course, docs }) {
    const marks = docs.marks, firsts = [0];
    for (const n of marks.count) firsts.push(firsts.at(-1) + n);
    const picks = [...document.querySelectorAll(".topics tbody tr")];
    const bubbles = new Map([...document.querySelectorAll(".bubble")].map((node) => [+node.dataset.topic, node]));
    const narrow = matchMedia("(max-width: 59.99rem)");
    const colour = (j) => `t${j % 8} u${(j >> 3) % 4}`;
    let chosen = 0, weight = 0.6, page = 0, lower = null;

    // relevance = weight log phi + (1 - weight) log(phi / p), the best first; ties keep the order of the vocabulary
    function ranked(j, n) {
      const score = ([, phi, p]) => +(Math.log(phi) - (1 - weight) * Math.log(p || phi)).toFixed(9);
      return words[j].map((w) => [score(w), w]).sort((a, b) => b[0] - a[0]).slice(0, n).map(([, w]) => w);
    }

    function drawWords() {
      const best = ranked(chosen, 15), widest = Math.max(...best.map(([, phi, p]) => Math.max(phi, p)));
      $("words").replaceChildren(...best.map(([word, phi, p]) => {
        const inTopic = make("i"), inAll = make("b");
        inTopic.style.width = `${(100 * phi) / widest}%`;
        inAll.style.insetInlineStart = `${(99 * p) / widest}%`;
        const said = `${percent(phi)} of the topic, ${percent(p)} of all texts`;
        return make("li", {}, button({ title: said }, () => search(word), bdi(word)),
          make("span", { class: "track", "aria-hidden": "true" }, inTopic, inAll),
          make("span", { class: "num" }, percent(phi)));
      }));
    }

    function drawCourse() {
      $("course").replaceChildren();
      if (!course) return;
      const values = course.shares[chosen], low = course.low[chosen], high = course.high[chosen], last = values.length - 1;
      const top = Math.max(...values, ...high, 1e-9), most = Math.max(...values), peak = values.indexOf(most);
      const at = (v, i) => `${(10 + (320 * i) / Math.max(last, 1)).toFixed(1)} ${(70 - (55 * v) / top).toFixed(1)}`;
      // points to be joined, and the runs of them: a time without documents, or without an interval, is a gap
      const runs = (known) => known.reduce((all, there, i) => {
        if (!there) return all;
        if (i && known[i - 1]) all.at(-1).push(i);
        else all.push([i]);
        return all;
      }, []);
      const line = runs(values.map((v) => v !== null)).map((r) => `M${r.map((i) => at(values[i], i)).join("L")}${r.length > 1 ? "" : "h.1"}`);
      const band = runs(low.map((v) => v !== null)).map((r) =>
        `M${[...r.map((i) => at(high[i], i)), ...r.map((i) => at(low[i], i)).reverse()].join("L")}Z`);
      const said = `Share over ${course.name}: at most ${percent(most)}, in ${course.columns[peak]}`;
      const text = (x, y, anchor, what) => make("svg:text", { x, y, "text-anchor": anchor }, what);
      $("course").append(make("p", {}, "Mean share over ", bdi(course.name)),
        make("svg:svg", { viewBox: "0 0 340 88", role: "img", "aria-label": said },
          make("svg:line", { x1: 10, x2: 330, y1: 70.5, y2: 70.5 }),
          make("svg:path", { class: "band", d: band.join("") }),
          make("svg:path", { d: line.join("") }),
          text(10, 11, "start", `${percent(most)} in ${course.columns[peak]}`),
          text(10, 84, "start", course.columns[0]), text(330, 84, "end", course.columns[last])),
        make("p", { class: "hint" }, course.note));
    }

    function choose(j, byHand) {
      chosen = j;
      const t = topics[j];
      $("topic-no").textContent = `Topic ${j + 1}`;
      $("topic-label").textContent = t.label;
      $("topic-facts").textContent = t.facts.join(" · ");
      $("read").textContent = `Read its ${number(docs.main.filter((m) => m === j).length)} documents`;
      for (const row of document.querySelectorAll("tr[data-topic]")) {
        row.setAttribute("aria-current", +row.dataset.topic === j);
      }
      picks.forEach((row, i) => row.querySelector("button").setAttribute("aria-pressed", i === j));
      for (const [i, node] of bubbles) {
        node.setAttribute("aria-pressed", i === j);
        node.setAttribute("tabindex", i === j ? 0 : -1);
      }
      drawWords();
      drawCourse();
      if (byHand && narrow.matches) {
        $("topic").scrollIntoView();
        $("topic-h").focus({ preventScroll: true });
      }
    }

    function slide() {
      weight = +$("weight").value;
      $("weight-is").textContent = `λ = ${weight.toFixed(2)}`;
      drawWords();
      picks.forEach((row, j) => {
        row.querySelector(".words").textContent = ranked(j, 10).map(([word]) => word).join(", ");
      });
    }

    // The beginning of document i, its words marked: the places come with the page, as gaps and lengths
    function marked(text, i) {
      const out = [];
      let at = 0, end = 0;
      for (let k = firsts[i]; k < firsts[i + 1]; k++) {
        const start = at + marks.before[k], topic = marks.topic[k], tenths = marks.tenths[k];
        at = start + marks.length[k];
        if (at > text.length) break;
        const title = `topic ${topic + 1}: ${topics[topic].label} (about ${10 * tenths}\u00a0%)`;
        const node = make("mark", { class: colour(topic), title }, text.slice(start, at));
        node.style.setProperty("--part", tenths / 10);
        out.push(text.slice(end, start), node);
        end = at;
      }
      return [...out, text.slice(end)];
    }

    function drawMix(mix) {
      const said = mix.map(([j, x]) => `topic ${j + 1} ${percent(x)}`).join(", ") || "no topic";
      return make("div", { class: "mix", role: "img", "aria-label": `Topics of this document: ${said}` },
        ...mix.map(([j, x]) => {
          const node = make("span", { class: colour(j), title: `${j + 1} ${topics[j].label}: ${percent(x)}` }, x > 0.05 ? `${j + 1}` : "");
          node.style.width = `${100 * x}%`;
          return node;
        }));
    }

    function drawLegend(mix) {
      if (!mix.length) return make("p", { class: "known" }, "No topic: it has none of the words that the topics are made of.");
      return make("ul", { class: "legend" }, ...mix.filter(([, x], i) => !i || x >= 0.05).slice(0, 5).map(([j, x]) =>
        make("li", {}, button({}, () => choose(j, true), make("span", { class: `key ${colour(j)}` }, `${j + 1}`), " ", bdi(topics[j].label), ` ${percent(x)}`))));
    }

    function drawDoc(i) {
      const text = docs.texts[i], mix = docs.mix[i];
      const known = docs.known.map((column, c) => [docs.names[c], column[i]]).filter(([, value]) => value);
      const short = text.length > LONG ? text.slice(0, LONG - 200).replace(/\s\S*$|[\ud800-\udbff]$/, "") : text;
      const shown = make("p", { class: "text", dir: "auto" }, ...marked(short, i), short === text ? "" : " …");
      const node = make("article", { "aria-label": `Document ${docs.at[i] + 1}` }, make("h3", {}, `Document ${number(docs.at[i] + 1)}`),
        make("p", { class: "known" }, ...known.flatMap(([name, value], c) => [c ? " · " : "", bdi(name), " ", bdi(value)])),
        drawMix(mix), drawLegend(mix), shown);
      if (short !== text) {
        const more = button({ class: "more" }, () => {
          shown.replaceChildren(...marked(text, i));
          shown.setAttribute("tabindex", "-1");
          shown.focus();
          more.remove();
        }, "Show the whole text");
        node.append(more);
      }
      if (docs.cut[i]) node.append(make("p", { class: "known" }, "The text goes on; this page holds its beginning."));
      return node;
    }

    function matching() {
      lower ??= docs.texts.map((text, i) => [text, ...docs.known.map((column) => column[i])].join("\n").toLowerCase());
      const asked = $("search").value.toLowerCase().split(/\s+/).filter(Boolean), topic = $("filter").value;
      const found = [...docs.texts.keys()].filter((i) => (topic === "" || docs.main[i] === +topic) && asked.every((w) => lower[i].includes(w)));
      return topic === "" || topic === "-1" ? found : found.sort((a, b) => docs.mix[b][0][1] - docs.mix[a][0][1] || a - b);
    }

    function drawDocs() {
      const found = matching(), from = page * PER_PAGE, here = found.slice(from, from + PER_PAGE);
      $("count").textContent = found.length
        ? `Documents ${number(from + 1)} to ${number(from + here.length)} of ${number(found.length)}`
        : docs.texts.length ? "No document has all of these words" : "There are no documents";
      $("list").replaceChildren(...here.map(drawDoc));
      $("previous").disabled = !page;
      $("next").disabled = from + PER_PAGE >= found.length;
    }

    function turn(to) {
      page = to;
      drawDocs();
    }
    function search(word) {
      $("search").value = word;
      turn(0);
      $("documents").scrollIntoView();
      $("search").focus({ preventScroll: true });
    }

    const option = (value, text, n) => make("option", { value, dir: "auto" }, `${text} (${number(n)})`);
    const none = docs.main.filter((m) => m < 0).length;
    $("filter").append(option("", "all documents", docs.main.length),
      ...topics.map((t, j) => option(j, `${j + 1} ${t.label}`, docs.main.filter((m) => m === j).length)), option("-1", "no topic", none));

    picks.forEach((row, j) => row.addEventListener("click", () => choose(j, true)));
    document.querySelectorAll(".heat tbody tr").forEach((row) => row.addEventListener("click", () => choose(+row.dataset.topic, true)));
    document.querySelectorAll(".heat").forEach((table) => {
      const heads = [...table.tHead.rows[0].cells];
      table.addEventListener("pointerover", ({ target }) => {
        const cell = target.closest("tbody td");
        if (cell) cell.title = `${cell.parentNode.cells[0].textContent} · ${heads[cell.cellIndex].textContent}: ${cell.textContent}`;
      });
    });
    for (const [j, node] of bubbles) {
      node.setAttribute("role", "button");
      node.setAttribute("aria-label", `Topic ${j + 1}: ${topics[j].label}`);
      node.addEventListener("click", () => choose(j, true));
      node.addEventListener("keydown", (event) => {
        const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (by) bubbles.get((j + by + topics.length) % topics.length).focus();
        else if (event.key === "Enter" || event.key === " ") choose(j, true);
        else return;
        event.preventDefault();
      });
    }
    let waiting;
    $("search").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(turn, 120, 0);
    });
    $("find").addEventListener("submit", (event) => event.preventDefault());
    $("filter").addEventListener("change", () => turn(0));
    $("weight").addEventListener("input", slide);
    $("read").addEventListener("click", () => {
      $("search").value = "";
      $("filter").value = chosen;
      turn(0);
      $("documents").scrollIntoView();
      $("filter").focus({ preventScroll: true });
    });
    for (const [id, by] of [["previous", -1], ["next", 1]]) {
      $(id).addEventListener("click", () => {
        turn(page + by);
        $("count").scrollIntoView();
      });
    }
    $("weight").value = weight;
    $("search").value = "";
    choose(0, false);
    slide();
    drawDocs();
    $("topic").hidden = $("browser").hidden = false;
  }

  try {
    start(await unpack());
  } catch (error) {
    $("problem").textContent = `The slider and the documents cannot be shown: ${error.message}.`;
    $("problem").hidden = false;
  }
  document.documentElement.dataset.ready = "true";
})();
