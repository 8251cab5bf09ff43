// The pool's live figures, as GET /pool tells them.

import { byId, counted, element, number, shape } from "./dom.js";

const SAMPLES_MAX = 60;
const STATES = { closed: "Closed", half_open: "Half open", open: "Open" };

export class Pool {
  #samples = [];

  /** Asks once and draws; says whether the worker answered. */
  async update() {
    const response = await fetch("/pool").catch(() => null);
    if (!response?.ok) {
      const asksForToken = response?.status === 401;
      byId("pool-sub").textContent = asksForToken
        ? "hidden: http.token is set"
        : "the worker does not answer";
      return false;
    }
    byId("pool-sub").textContent = "shared by every call";
    const stats = await response.json();
    this.#samples.push({
      opened: stats.connections.opened,
      reused: stats.connections.reused,
      inFlight: stats.permits.in_use + stats.permits.background_in_use,
      hitRate: stats.cache.hit_rate,
    });
    if (this.#samples.length > SAMPLES_MAX + 1) this.#samples.shift();
    this.#drawRequests(stats);
    this.#drawCache(stats.cache);
    this.#drawFlight(stats);
    drawBreakers(stats.services);
    return true;
  }

  #drawRequests({ connections }) {
    byId("reused").textContent = number.format(connections.reused);
    byId("opened").textContent = number.format(connections.opened);
    const steps = this.#samples.slice(1).map((sample, place) => ({
      opened: Math.max(0, sample.opened - this.#samples[place].opened),
      reused: Math.max(0, sample.reused - this.#samples[place].reused),
    }));
    const most = Math.max(4, ...steps.map((step) => step.opened + step.reused));
    const chart = byId("requests-chart");
    const width = 320 / SAMPLES_MAX;
    const bars = [baseline(320, 56)];
    steps.forEach((step, place) => {
      const x = (SAMPLES_MAX - steps.length + place) * width;
      let y = 56;
      for (const name of ["reused", "opened"]) {
        const height = (52 * step[name]) / most;
        y -= height;
        if (height) bars.push(shape("rect", { class: name, x, y, width: width - 1.4, height, rx: 0.8 }));
      }
    });
    chart.replaceChildren(...bars);
    const label = `${counted(connections.reused, "request")} on a connection that was there, ${counted(connections.opened, "connection")} opened`;
    chart.setAttribute("aria-label", label);
  }

  #drawCache(cache) {
    const rate = cache.hit_rate;
    const text = rate === null ? "–" : `${Math.round(100 * rate)} %`;
    byId("hit-rate").textContent = text;
    const hits = `${counted(cache.hits + cache.coalesced, "hit")}, ${counted(cache.misses, "miss", "misses")}`;
    byId("hits").textContent = rate === null ? "no cached calls yet" : hits;
    const chart = byId("hit-chart");
    line(chart, this.#samples.map((sample) => sample.hitRate), 1);
    chart.setAttribute("aria-label", rate === null ? "No cached calls yet" : `Cache hit rate ${text}, ${hits}`);
  }

  #drawFlight({ connections, permits }) {
    const now = permits.in_use + permits.background_in_use;
    byId("in-flight").textContent = number.format(now);
    byId("open").textContent = connections.open === null ? `of ${permits.max} places` : `${counted(connections.open, "connection")} open`;
    const flights = this.#samples.map((sample) => sample.inFlight);
    const chart = byId("flight-chart");
    line(chart, flights, Math.max(2, ...flights));
    chart.setAttribute("aria-label", `${counted(now, "request")} in flight`);
  }
}

const baseline = (width, y) => shape("line", { class: "base", x1: 0, x2: width, y1: y, y2: y });

/** A line through the values that are known, newest at the right. */
function line(chart, values, most) {
  const [width, height] = [150, 40];
  const points = values
    .map((value, place) => [((SAMPLES_MAX + 1 - values.length + place) * width) / SAMPLES_MAX, value])
    .filter(([, value]) => value !== null)
    .map(([x, value]) => [Math.max(0, x), height - 2 - ((height - 5) * value) / most]);
  const drawn = [baseline(width, height)];
  if (points.length > 1) {
    const path = `M${points.map((point) => point.map((at) => at.toFixed(1)).join(",")).join("L")}`;
    const area = `${path}L${points.at(-1)[0].toFixed(1)},${height}L${points[0][0].toFixed(1)},${height}Z`;
    drawn.push(shape("path", { class: "area", d: area }), shape("path", { class: "line", d: path }));
  }
  chart.replaceChildren(...drawn);
}

function drawBreakers(services) {
  const rows = services.flatMap((service) =>
    service.hosts
      .filter((host) => host.breaker && host.priority === "caller")
      .map((host) => {
        const state = element("span", "breaker", { "data-state": host.breaker.state }, STATES[host.breaker.state] ?? host.breaker.state);
        const name = element("span", "host", {}, service.service);
        if (host.host) name.append(element("small", "", {}, host.host));
        return element("li", "", {}, name, state);
      }),
  );
  if (rows.length) byId("breakers").replaceChildren(...rows);
}
