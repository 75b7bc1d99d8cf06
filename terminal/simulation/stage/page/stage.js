// The stage's page: sends what a person does, shows what the programs say.
"use strict";
const SCENE_MS = 160, DIGITS_MAX = 7, AGAIN_MS = 1000;
const $ = (id) => document.getElementById(id);
const hands = JSON.parse($("hands-data").textContent);
let keyed = 0, now = null, keying = true;
const money = (minor) => `${Math.floor(minor / 100)}.${String(minor % 100).padStart(2, "0")}`;
const node = (tag, text = "", cls = "") => { const e = document.createElement(tag); e.textContent = text; if (cls) e.className = cls; return e; };

async function act(what) {
  $("trouble").textContent = "";
  try {
    const answer = await fetch("/act", { method: "POST", headers: { "Content-Type": "application/json", "X-Stage": "act" }, body: JSON.stringify(what) });
    $("trouble").textContent = (await answer.json()).trouble;
  } catch {
    $("trouble").textContent = "The stage has ended. Start it again with: make run";
  }
}

function lcd() {
  const lines = now && (now.busy || !keying) ? now.display : [`TOTAL${money(keyed).padStart(15)}`, keyed ? "press Pay by palm" : "key in an amount"];
  $("line1").textContent = lines[0] || " ";
  $("line2").textContent = lines[1] || " ";
}

function key(k) {
  if (now && now.busy) return;
  if (!keying) { keyed = 0; keying = true; }
  if (k === "C") keyed = 0;
  else if (k === "⌫") keyed = Math.floor(keyed / 10);
  else if (String(keyed).length + k.length <= DIGITS_MAX) keyed = keyed * 10 ** k.length + Number(k);
  lcd();
}

function pay() {
  if (now && now.busy) return;
  keying = false;
  act({ do: "pay", amount_minor: keyed });
}

function rows(body, list, cells, empty) {
  const seen = new Set([...body.children].map((row) => row.dataset.key)), first = seen.size === 0;
  const made = list.map((item) => {
    const row = node("tr");
    row.append(...cells(item));
    row.dataset.key = row.textContent;
    if (!first && !seen.has(row.dataset.key)) row.className = "fresh";
    return row;
  });
  if (!made.length) { const row = node("tr"), cell = node("td", empty, "none"); cell.colSpan = 6; row.append(cell); made.push(row); }
  if (made.map((row) => row.dataset.key).join() !== [...body.children].map((row) => row.dataset.key).join() || first) body.replaceChildren(...made);
}

const STATES = { captured: "good", reversed: "odd", authorised: "odd", refused: "bad" };

function render(state) {
  now = state;
  for (const name of ["service", "terminal"]) $(`pill-${name}`).className = state[name];
  if (state.shopper_url && $("shopper").dataset.at !== state.shopper_url) {
    $("shopper").src = $("shopper").dataset.at = state.shopper_url;
    $("technician").href = `${state.shopper_url}technician`;
  }
  $("dark").hidden = state.terminal !== "off";
  $("plug").disabled = state.terminal !== "running";
  $("cut").disabled = state.service === "starting";
  $("cut").textContent = state.service === "off" ? "Start the service" : "Kill the service";
  $("abort").disabled = !state.busy;
  $("pay").disabled = state.busy || state.terminal !== "running";
  for (const button of $("choices").children) button.setAttribute("aria-checked", String(button.dataset.id === state.hand));
  rows($("rung"), state.rung, (r) => [node("td", r.at), node("td", money(r.amount_minor), "n"), node("td", r.text || (r.paid ? "paid" : r.paid === null ? "unclear" : "not paid"), r.paid ? "good" : r.paid === null ? "odd" : "bad")], "Nothing rung up yet.");
  rows($("ledger"), state.ledger, (b) => {
    const key = node("td");
    key.append(node("code", b.key.slice(0, 8)));
    return [node("td", b.at), node("td", money(b.amount_minor), "n"), node("td", b.captured_minor ? money(b.captured_minor) : "", "n"), node("td", b.state, STATES[b.state] || ""), node("td", b.person.slice(0, 10)), key];
  }, "No purchase in the books yet.");
  const v = state.verdict, sums = `register ${money(v.register_minor)} · ledger ${money(v.ledger_minor)}`;
  const waits = !state.agree && (state.reading || state.busy || state.service !== "running" || state.terminal !== "running");
  $("verdict").className = state.agree ? "yes" : waits ? "" : "no";
  $("verdict").replaceChildren(node("span", state.agree ? `${sums} — they agree to the cent` : waits ? `${sums} — not settled yet` : sums), ...(waits ? [] : v.differences.slice(0, 4).map((d) => node("small", d))));
  if (state.notice) $("trouble").textContent = state.notice;
  lcd();
}

function connect() {
  const source = new EventSource("/events");
  source.onmessage = (event) => render(JSON.parse(event.data));
  source.onerror = () => {
    for (const name of ["service", "terminal"]) $(`pill-${name}`).className = "";
    $("trouble").textContent = "The stage has ended. Start it again with: make run";
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MS);
  };
  source.onopen = () => { $("trouble").textContent = ""; };
}

async function scene() {
  try {
    if (!document.hidden) {
      const answer = await fetch("/scene"), there = answer.status === 200;
      if (there) {
        const url = URL.createObjectURL(await answer.blob()), old = $("scene").src;
        $("scene").src = url;
        await $("scene").decode().catch(() => {});
        if (old) URL.revokeObjectURL(old);
      }
      $("scene").classList.toggle("there", there);
    }
  } catch { $("scene").classList.remove("there"); }
  setTimeout(scene, SCENE_MS);
}

for (const k of ["7", "8", "9", "4", "5", "6", "1", "2", "3", "C", "0", "00"]) {
  const button = node("button", k);
  button.type = "button";
  if (k === "C") button.setAttribute("aria-label", "clear");
  button.addEventListener("click", () => key(k));
  $("keys").append(button);
}
for (const hand of hands) {
  const button = node("button", hand.label);
  button.type = "button";
  button.dataset.id = hand.id;
  button.setAttribute("role", "radio");
  button.append(node("small", hand.note));
  button.addEventListener("click", () => act({ do: "hand", who: hand.id }));
  $("choices").append(button);
}
$("pay").addEventListener("click", pay);
$("abort").addEventListener("click", () => act({ do: "abort" }));
$("plug").addEventListener("click", () => act({ do: "plug" }));
$("cut").addEventListener("click", () => act({ do: "service", up: now.service === "off" }));
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^\d$/.test(event.key)) key(event.key);
  else if (event.key === "Backspace") key("⌫");
  else if (event.key === "Escape") act({ do: "abort" });
  else if (event.key === "Enter" && event.target === document.body) pay();
});
lcd();
connect();
scene();
