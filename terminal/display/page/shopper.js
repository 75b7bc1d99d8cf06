// Shows what the terminal says, nothing else: no decision is made here.
"use strict";
const ROTATE_MS = 3200;   // how long each of the other languages stays
const SILENT_MS = 12000;  // three beats without a word: the terminal is gone
const LOST_MS = 2500;     // connection closed for this long: say so
const FIT_STEPS = 12;     // at most this many tries to make long words fit
const $ = (id) => document.getElementById(id);
const inside = JSON.parse($("state").textContent);
const stage = $("stage");
let now = null, shownText = "", other = 0, heard = performance.now(), lostTimer = 0, source = null;

function put(id, text) { const e = $(id); if (e.textContent !== text) e.textContent = text; return e; }

function fits() {
  const words = $("words");
  return words.scrollHeight <= words.clientHeight + 1 && words.scrollWidth <= words.clientWidth + 1;
}

function fit() {
  for (let step = 0; step < FIT_STEPS; step++) {
    stage.style.setProperty("--fit", String(1 - step * 0.05));
    if (fits()) return;
  }
}

function second() {
  const rest = now.says.slice(1);
  $("second").hidden = rest.length === 0;
  if (!rest.length) return;
  const say = rest[other % rest.length];
  put("second", say.title).lang = say.lang;
}

function render(state) {
  if (now && state.build !== now.build) { location.reload(); return; }
  now = state;
  for (const key of ["screen", "glyph", "motion", "colour", "guidance"]) if (stage.dataset[key] !== state[key]) stage.dataset[key] = state[key];
  if (state.motion === "fill") $("arc").style.strokeDasharray = `${state.progress * 100} 200`;
  else $("arc").style.removeProperty("stroke-dasharray");
  const first = state.says[0], text = JSON.stringify([state.says, state.code]);
  if (text === shownText) return;
  shownText = text;
  other = 0;
  document.documentElement.lang = first.lang;
  put("amount", first.amount); put("title", first.title); put("detail", first.detail); put("promise", first.promise);
  put("code", state.code ? `Code: ${state.code}` : "").hidden = !state.code;
  second();
  fit();
}

function lost() { render({ ...inside.lost, build: now ? now.build : inside.lost.build }); }

function alive() { heard = performance.now(); clearTimeout(lostTimer); lostTimer = 0; }

function connect() {
  if (source) source.close();
  source = new EventSource("/events");
  source.onmessage = (event) => { alive(); render(JSON.parse(event.data)); };
  source.addEventListener("beat", alive);
  source.onerror = () => {
    if (!lostTimer) lostTimer = setTimeout(lost, LOST_MS);
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000);  // refused: a browser does not try again by itself
  };
}

setInterval(() => {
  if (performance.now() - heard > SILENT_MS) { heard = performance.now(); lost(); connect(); }
}, 1000);
setInterval(() => {
  if (!now || now.says.length < 3) return;
  const line = $("second");
  line.classList.add("turning");
  setTimeout(() => { other += 1; second(); fit(); line.classList.remove("turning"); }, 360);
}, ROTATE_MS);
addEventListener("resize", () => { if (now) fit(); });
render(inside.now);
connect();
