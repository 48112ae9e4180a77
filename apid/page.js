// SPDX-License-Identifier: ISC
// The page for people: asks the API every other second and shows what it
// says.  Everything from the API goes in as text, never as HTML.
"use strict";

const PERIOD_MS = 2000;
const HISTORY = 60;
const FEW = 12;
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);
const history = new Map(); // artifact_id -> { last, cpu[], rate[], viol[] }
let shown = null;          // the last answers, for the countdown
let fetchedAt = 0;
let timer = 0;

function element(tag, className, text) {
	const e = document.createElement(tag);
	if (className) e.className = className;
	if (text !== undefined) e.textContent = text;
	return e;
}

function seconds(duration) {
	let sum = 0;
	for (const [, n, unit] of String(duration).matchAll(/(\d+)([hms])/g))
		sum += n * { h: 3600, m: 60, s: 1 }[unit];
	return sum;
}

function duration(sec) {
	const d = Math.floor(sec / 86400), h = Math.floor(sec / 3600) % 24;
	const m = Math.floor(sec / 60) % 60, s = Math.floor(sec % 60);
	if (d) return `${d} d ${h} h`;
	if (h) return `${h} h ${m} min`;
	if (m) return `${m} min ${String(s).padStart(2, "0")} s`;
	return `${s} s`;
}

function short(n) {
	if (n >= 1e9) return (n / 1e9).toFixed(1) + " G";
	if (n >= 1e6) return (n / 1e6).toFixed(1) + " M";
	if (n >= 1e4) return (n / 1e3).toFixed(1) + " k";
	return n < 10 && n % 1 ? n.toFixed(2) : String(Math.round(n));
}

function memory(kb) {
	if (kb >= 1048576) return (kb / 1048576).toFixed(1) + " GB";
	if (kb >= 1024) return (kb / 1024).toFixed(1) + " MB";
	return kb + " KB";
}

function counted(n, one) {
	return `${short(n)} ${one}${n === 1 ? "" : "s"}`;
}

function mood(status) {
	if (["healthy", "running", "loaded", "completed"].includes(status))
		return "good";
	if (["unhealthy", "failed", "rolled_back"].includes(status)) return "bad";
	return "warn";
}

async function ask(path) {
	const token = sessionStorage.getItem("token");
	const headers = token ? { Authorization: "Bearer " + token } : {};
	const answer = await fetch(path, { headers, cache: "no-store" });
	if (answer.status === 401) throw new Error("401");
	return answer.json();
}

// --- numbers over time ---

function remember(p) {
	const t = p.telemetry, now = Date.parse(t.timestamp) / 1000;
	let h = history.get(p.artifact_id);
	if (!h) {
		h = { last: null, cpu: [], rate: [], viol: [] };
		history.set(p.artifact_id, h);
	}
	if (!now || (h.last && now <= h.last.now)) return h;
	if (h.last) {
		const dt = now - h.last.now;
		h.rate.push(Math.max(0, t.packets_processed - h.last.packets) / dt);
		h.viol.push(Math.max(0, t.violations - h.last.violations) / dt);
	}
	h.cpu.push(t.cpu_percent);
	h.last = { now, packets: t.packets_processed, violations: t.violations };
	for (const series of [h.cpu, h.rate, h.viol])
		if (series.length > HISTORY) series.shift();
	return h;
}

function plot(kind, label, value, series) {
	const box = element("div", "plot " + kind);
	box.append(element("span", "dim", label), element("b", "", value));
	const svg = document.createElementNS(SVG, "svg");
	svg.setAttribute("viewBox", `0 0 ${HISTORY - 1} 20`);
	svg.setAttribute("preserveAspectRatio", "none");
	svg.setAttribute("role", "img");
	svg.setAttribute("aria-label", `${label}: ${value}`);
	const line = document.createElementNS(SVG, "polyline");
	const area = document.createElementNS(SVG, "polygon");
	const top = Math.max(...series, 1e-9);
	// The newest is at the right; while there are few they have more room.
	const step = (HISTORY - 1) / Math.max(FEW - 1, series.length - 1);
	const x = (i) => (HISTORY - 1 - step * (series.length - 1 - i)).toFixed(2);
	const points = series.map((v, i) => `${x(i)},${(19 - 18 * v / top).toFixed(2)}`);
	if (points.length === 1) points.unshift(points[0].replace(/^[^,]*/, x(-1)));
	line.setAttribute("points", points.join(" "));
	if (points.length)
		area.setAttribute("points", [`${points[0].split(",")[0]},20`,
			...points, `${HISTORY - 1},20`].join(" "));
	svg.append(area, line);
	box.append(svg);
	return box;
}

// --- what is shown ---

function programCard(p) {
	const h = remember(p), t = p.telemetry;
	const card = element("article", "card");
	const head = element("div", "head");
	head.append(element("h3", "", `${p.name} ${p.version}`),
		element("span", mood(p.status), p.stage.replace("_", " ")));
	card.append(head, element("p", "dim id", p.artifact_id));
	if (p.ttl !== null && ["loaded", "running"].includes(p.status)) {
		const ttl = element("div", "ttl");
		ttl.dataset.left = p.ttl_seconds;
		ttl.dataset.total = seconds(p.ttl);
		ttl.append(element("span", ""), element("div", "bar"));
		ttl.lastChild.append(element("i", ""));
		card.append(ttl);
	} else if (["loaded", "running"].includes(p.status)) {
		card.append(element("p", "ttl dim", "stays until it is unloaded"));
	}
	if (t.timestamp) {
		const plots = element("div", "plots");
		plots.append(
			plot("cpu", "CPU", t.cpu_percent.toFixed(2) + " %", h.cpu),
			plot("rate", "packets/s", short(h.rate.at(-1) ?? 0), h.rate),
			plot("viol", "violations", short(t.violations), h.viol));
		card.append(plots);
	}
	const points = p.attach_points.map((a) => `${a.type} on ${a.target}`);
	if (points.length)
		card.append(element("p", "points dim", points.join(" · ")));
	if (t.errors) card.append(element("p", "points bad", counted(t.errors, "error")));
	if (p.error) card.append(element("p", "error", p.error));
	return card;
}

function showTiles(metrics) {
	const c = metrics.counters, g = metrics.gauges;
	const dropped = Object.values(c.events_dropped).reduce((a, b) => a + b, 0);
	const tiles = [
		["in the kernel", `${c.running_programs} / ${g.max_programs}`],
		["failed", c.failed_programs, c.failed_programs && "bad"],
		["CPU, mean", g.average_cpu_percent.toFixed(2) + " %"],
		["memory", memory(g.total_memory_kb)],
		["violations", short(g.total_violations)],
		["NATS", g.nats_connected ? "connected" : "away",
			!g.nats_connected && "warn"],
		["events dropped", short(dropped), dropped && "warn"],
	];
	$("tiles").replaceChildren(...tiles.map(([label, value, tone]) => {
		const tile = element("div", "tile");
		tile.append(element("b", tone || "", value), element("span", "dim", label));
		return tile;
	}));
}

function rollbackLine(r) {
	const line = element("li");
	const ago = (Date.parse(shown.rollbacks.timestamp) - Date.parse(r.timestamp)) / 1000;
	line.append(element("span", "dim when", duration(Math.max(0, ago)) + " ago"));
	line.append(element("b", "", `${r.metadata.name} ${r.metadata.version}`), " ");
	line.append(element("span", mood(r.status), r.status.replace("_", " ")));
	let why = r.reason.replaceAll("_", " ");
	if (r.threshold) why += `, ${r.threshold} ${short(r.metadata.limit)}: ${short(r.value)}`;
	if (r.metadata.restored_version) why += `; ${r.metadata.restored_version} is back`;
	line.append(element("div", "dim", why));
	if (r.metadata.detail) line.append(element("div", "dim", r.metadata.detail));
	if (r.error) line.append(element("div", "error", r.error));
	return line;
}

function workerLine(w) {
	const line = element("li");
	line.append(element("span", "dim when", duration(seconds(w.since))));
	line.append(element("b", "", w.worker), " ");
	line.append(element("span", w.ready ? "good" : "bad",
		w.ready ? "ready" : w.pid ? "starting" : "down"));
	if (w.restarts)
		line.append(element("div", "warn", counted(w.restarts, "restart") +
			(w.last_exit ? `, last: ${w.last_exit}` : "")));
	return line;
}

function list(id, items, make) {
	$(id).replaceChildren(...items.map(make));
	const none = $("no-" + id);
	if (none) none.hidden = items.length > 0;
}

function show() {
	const { health, programs, rollbacks, version, metrics } = shown;
	document.title = `${health.host_id}: ${health.status}`;
	$("host").textContent = health.host_id;
	$("about").textContent = `AegisFlux ${version.version}, kernel ` +
		`${version.kernel}, up ${duration(seconds(version.uptime))}`;
	$("health").textContent = health.status;
	$("health").className = "badge " + mood(health.status);
	$("reasons").hidden = !health.reasons;
	$("reasons").className = "notice " + mood(health.status);
	$("reasons").replaceChildren(
		...(health.reasons ?? []).map((r) => element("li", "", r)));
	showTiles(metrics);
	list("programs", programs.programs, programCard);
	list("rollbacks", rollbacks.rollbacks, rollbackLine);
	list("workers", version.workers, workerLine);
	const known = new Set(programs.programs.map((p) => p.artifact_id));
	for (const id of history.keys()) if (!known.has(id)) history.delete(id);
	$("ask").hidden = true;
	$("stale").hidden = true;
	$("main").hidden = false;
	countDown();
}

function countDown() {
	const passed = (performance.now() - fetchedAt) / 1000;
	for (const ttl of document.querySelectorAll(".ttl[data-left]")) {
		const left = Math.max(0, ttl.dataset.left - passed);
		const share = Math.min(1, left / ttl.dataset.total);
		const bar = ttl.querySelector("i");
		ttl.firstChild.textContent = `${duration(Math.ceil(left))} left`;
		bar.style.width = `${100 * share}%`;
		bar.classList.toggle("soon", share < 0.1 || left < 60);
	}
}

// --- asking ---

function askForToken() {
	$("wrong").hidden = sessionStorage.getItem("token") === null;
	sessionStorage.removeItem("token");
	$("main").hidden = true;
	$("ask").hidden = false;
	$("token").focus();
}

async function refresh() {
	clearTimeout(timer);
	try {
		const [health, programs, rollbacks, version, metrics] = await Promise.all(
			["/healthz", "/programs", "/rollbacks", "/version", "/metrics"].map(ask));
		if (programs.error) throw new Error(programs.error);
		shown = { health, programs, rollbacks, version, metrics };
		fetchedAt = performance.now();
		show();
	} catch (error) {
		if (error.message === "401") {
			askForToken();
			return;
		}
		$("stale").hidden = false;
		$("stale").textContent = "The agent does not answer: what is below " +
			`may be out of date (${error.message}).`;
		$("health").textContent = "no answer";
		$("health").className = "badge bad";
	}
	timer = setTimeout(refresh, PERIOD_MS);
}

$("ask").addEventListener("submit", (event) => {
	event.preventDefault();
	sessionStorage.setItem("token", $("token").value.trim());
	$("token").value = "";
	refresh();
});
document.addEventListener("visibilitychange", () => {
	if (document.hidden) clearTimeout(timer);
	else refresh();
});
setInterval(countDown, 1000);
refresh();
