// Reads the terminal's status every two seconds and shows it.
"use strict";
const PERIOD_MS = 2000, PATIENCE_MS = 1500;
const NAMES = { frames_per_s: "frames a second", frames_dropped: "frames dropped", service_reachable: "service reachable", register_open: "register's line open", owed: "purchases to settle", uptime_s: "running for", model_version: "model", temperature_c: "temperature, °C" };
const $ = (id) => document.getElementById(id);
const cell = (text, kind = "td") => { const e = document.createElement(kind); e.textContent = text; return e; };

function duration(s) {
  return s < 90 ? `${s} s` : s < 5400 ? `${Math.round(s / 60)} min` : s < 172800 ? `${(s / 3600).toFixed(1)} h` : `${Math.round(s / 86400)} days`;
}

function money(p) { return p.amount_minor == null ? "" : `${(p.amount_minor / 100).toFixed(2)} ${p.currency || ""}`; }

function render(data) {
  $("screen").textContent = data.screen.replaceAll("_", " ");
  $("screen").className = data.screen === "out_of_order" ? "bad" : "good";
  $("since").textContent = `for ${duration(data.in_state_s)}`;
  $("sentence").textContent = data.sentence;
  $("trouble").textContent = data.trouble;
  $("trouble").hidden = !data.trouble;
  $("figures").replaceChildren(...Object.entries(data.status).map(([key, value]) => {
    const item = document.createElement("div"), term = cell(NAMES[key] || key.replaceAll("_", " "), "dt");
    const text = key === "uptime_s" ? duration(value) : typeof value === "boolean" ? (value ? "yes" : "no") : typeof value === "number" ? String(Math.round(value * 10) / 10) : String(value ?? "–");
    const said = cell(text, "dd");
    if (value === false && key !== "throttled" || value === true && key === "throttled") said.className = "bad";
    item.append(term, said);
    return item;
  }));
  $("purchases").replaceChildren(...data.purchases.map((p) => {
    const row = document.createElement("tr");
    row.append(...[p.at, p.kind, money(p), p.outcome, p.receipt, p.took_ms == null ? "" : `${p.took_ms} ms`].map((v) => cell(String(v ?? ""))));
    return row;
  }));
  $("none").hidden = data.purchases.length > 0;
}

async function read() {
  try {
    const answer = await fetch("/technician/status", { signal: AbortSignal.timeout(PATIENCE_MS) });
    render(await answer.json());
    $("fresh").textContent = `read at ${new Date().toLocaleTimeString()}`;
    $("fresh").className = "";
  } catch {
    $("fresh").textContent = "The terminal does not answer. Trying again.";
    $("fresh").className = "bad";
  }
  setTimeout(read, PERIOD_MS);
}
read();
