// The editor of gan-edit. A point is a latent z and the weights y of its classes; the server turns
// points into images and keeps nothing, so the history is here.
const at = id => document.getElementById(id);
const setup = JSON.parse(at("editor").dataset.setup);
const MOST_UNDONE = 200;
let point = { z: setup.first.z, y: setup.first.y };
let amounts = setup.directions.map(() => 0);
let shown = setup.first; // the last answer
let version = 0, undone = 0; // of the point now and at the last undo: answers may come too late
const history = [], kept = { a: null, b: null };

// Requests: one at a time, and of those that wait the last one alone.
let busy = false, waiting = null;
async function ask(make) {
  waiting = make;
  if (busy) return;
  busy = true;
  at("picture").setAttribute("aria-busy", "true");
  while (waiting) {
    const { action, body } = waiting(), asked = version;
    waiting = null;
    try {
      const answer = await post(action, body);
      at("fault").hidden = true;
      if (asked === version) await take(answer, action);
      else if (action === "draw" && asked >= undone) await paint(answer);
    } catch (error) {
      at("fault").textContent = error.message;
      at("fault").hidden = false;
    }
  }
  busy = false;
  at("picture").setAttribute("aria-busy", "false");
}
async function post(action, body) {
  let reply;
  try {
    reply = await fetch(action, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
  } catch {
    throw new Error("gan-edit does not answer; was it ended?");
  }
  const answer = await reply.json();
  if (!reply.ok) throw new Error(answer.error);
  return answer;
}
function take(answer, action) {
  shown = answer;
  point = { z: answer.z, y: answer.y };
  if (action !== "draw") amounts.fill(0);
  at("distance").textContent = "distance" in answer ? `distance ${answer.distance.toFixed(4)}` : "";
  return show();
}
const draw = () => ask(() => ({ action: "draw", body: point }));

// A change that undo takes back; several of one gesture count as one.
let gesture = null;
function remember(name = null) {
  if (name !== null && name === gesture) return;
  gesture = name;
  history.push({ point, amounts: [...amounts], shown });
  if (history.length > MOST_UNDONE) history.shift();
  at("undo").disabled = false;
}
function change(name, z, y = point.y) {
  remember(name);
  version += 1;
  point = { z, y };
  sync();
  draw();
}
function undo() {
  const last = history.pop();
  if (!last) return;
  undone = version += 1;
  ({ point, amounts, shown } = last);
  waiting = null;
  gesture = null;
  at("undo").disabled = history.length === 0;
  show();
}
document.addEventListener("change", () => { gesture = null; });

const address = answer => `data:image/png;base64,${answer.png}`;

// Controls.
const syncs = [];
const sync = () => syncs.forEach(one => one());
function slider(parent, name, note, low, high, read, write) {
  const made = at("slider").content.cloneNode(true).firstElementChild;
  const [title, input, output] = made.children;
  title.textContent = name;
  made.title = note;
  Object.assign(input, { min: low, max: high });
  input.addEventListener("input", () => write(Number(input.value)));
  input.addEventListener("dblclick", () => { write(0); gesture = null; });
  syncs.push(() => {
    input.value = read();
    output.textContent = read().toFixed(2);
  });
  parent.append(made);
  parent.hidden = false;
}
function choices(parent, names, chosen, choose) {
  const buttons = names.map((name, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => choose(index));
    parent.append(button);
    return button;
  });
  syncs.push(() => buttons.forEach((button, index) =>
    button.setAttribute("aria-pressed", String(index === chosen()))));
}
const alone = values => values.reduce((most, value, k) => value > values[most] ? k : most, 0);
const only = (count, index) => Array.from({ length: count }, (_, k) => Number(k === index));

if (setup.classes.length) {
  at("classes").hidden = false;
  choices(at("classes").querySelector(".choices"), setup.classes, () => alone(point.y),
    index => change(null, point.z, only(setup.classes.length, index)));
}
for (const { name, start, count } of setup.categories) {
  const title = document.createElement("h2"), buttons = document.createElement("div");
  title.textContent = name;
  buttons.className = "choices";
  at("categories").append(title, buttons);
  choices(buttons, [...Array(count).keys()], () => alone(point.z.slice(start, start + count)),
    index => change(null, point.z.toSpliced(start, count, ...only(count, index))));
}
for (const { name, start, low, high } of setup.codes) {
  slider(at("codes"), name, "", low, high, () => point.z[start],
    value => change(`code ${start}`, point.z.with(start, value)));
}
setup.directions.forEach(({ name, note, vector }, k) => {
  slider(at("directions"), name, note, -setup.reach, setup.reach, () => amounts[k], value => {
    remember(`direction ${k}`);
    const step = value - amounts[k];
    amounts[k] = value;
    change(`direction ${k}`, point.z.map((one, place) => one + step * vector[place]));
  });
});

// The brush. Strokes have whole pixels of the image: colours, and edges of any colour.
const size = { width: setup.width, height: setup.height };
const layers = { colour: document.createElement("canvas"), shape: document.createElement("canvas") };
for (const canvas of [at("image"), at("paint"), ...Object.values(layers)]) Object.assign(canvas, size);
const pens = Object.fromEntries(Object.entries(layers).map(([name, canvas]) =>
  [name, canvas.getContext("2d", { willReadFrequently: true })]));
let tool = "colour", from = null;
const painted = { colour: false, shape: false };

at("colour").hidden = setup.grey;
document.querySelector(".grey").hidden = !setup.grey;
function ink() {
  const level = at("grey").value;
  return setup.grey ? `rgb(${level} ${level} ${level})` : at("colour").value;
}
const swatch = () => { at("swatch").style.backgroundColor = ink(); };
at("grey").addEventListener("input", swatch);
for (const button of document.querySelectorAll(".tool")) {
  button.addEventListener("click", () => {
    tool = button.dataset.tool;
    for (const other of document.querySelectorAll(".tool")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
  });
}
function place(event) {
  const box = at("paint").getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * size.width,
    (event.clientY - box.top) / box.height * size.height];
}
function dab(x, y) {
  const width = Number(at("size").value);
  const left = Math.round(x - width / 2), top = Math.round(y - width / 2);
  for (const name of tool === "erase" ? ["colour", "shape"] : [tool]) {
    const pen = pens[name];
    if (tool === "erase") {
      pen.clearRect(left, top, width, width);
    } else {
      pen.fillStyle = tool === "shape" ? "white" : ink();
      pen.fillRect(left, top, width, width);
      painted[name] = true;
    }
  }
}
function stroke(event) {
  const to = place(event), start = from ?? to;
  const steps = Math.ceil(2 * Math.hypot(to[0] - start[0], to[1] - start[1])) || 1;
  for (let k = 0; k <= steps; k++) {
    dab(start[0] + (to[0] - start[0]) * k / steps, start[1] + (to[1] - start[1]) * k / steps);
  }
  from = to;
  strokes();
}
function strokes() {
  const pen = at("paint").getContext("2d");
  pen.clearRect(0, 0, size.width, size.height);
  pen.drawImage(layers.colour, 0, 0);
  // Edges in one colour of their own.
  pen.globalCompositeOperation = "source-over";
  const tint = new OffscreenCanvas(size.width, size.height), over = tint.getContext("2d");
  over.drawImage(layers.shape, 0, 0);
  over.globalCompositeOperation = "source-in";
  over.fillStyle = "#eb6834";
  over.fillRect(0, 0, size.width, size.height);
  pen.drawImage(tint, 0, 0);
  const some = painted.colour || painted.shape;
  at("again").disabled = at("clear").disabled = !some;
}
const encoded = canvas => canvas.toDataURL("image/png").split(",")[1];
let near = point.z; // where the stroke began, which the latent stays close to
const follow = () => ask(() => ({
  action: "follow",
  body: { point, near, colour: encoded(layers.colour), shape: encoded(layers.shape) },
}));
at("paint").addEventListener("pointerdown", event => {
  if (event.button !== 0) return;
  at("paint").setPointerCapture(event.pointerId);
  from = null;
  if (tool !== "erase") remember(null);
  near = point.z;
  stroke(event);
});
at("paint").addEventListener("pointermove", event => {
  if (from === null) return;
  stroke(event);
  if (tool !== "erase" && !busy) follow();
});
function lift() {
  if (from === null) return;
  from = null;
  if (tool !== "erase") follow();
}
at("paint").addEventListener("pointerup", lift);
at("paint").addEventListener("pointercancel", lift);
at("again").addEventListener("click", () => {
  remember(null);
  near = point.z;
  follow();
});
at("clear").addEventListener("click", () => {
  for (const pen of Object.values(pens)) pen.clearRect(0, 0, size.width, size.height);
  painted.colour = painted.shape = false;
  strokes();
});
at("visible").addEventListener("change", () => {
  at("paint").style.opacity = at("visible").checked ? "" : "0";
});

// Samples, undo, and the way between two points.
function sample() {
  remember(null);
  ask(() => ({ action: "sample", body: { seed: Number(at("seed").value), y: point.y } }));
}
at("sample").addEventListener("click", () => {
  at("seed").value = Number(at("seed").value) + 1;
  sample();
});
at("seed").addEventListener("change", sample);
at("undo").addEventListener("click", undo);
addEventListener("keydown", event => {
  const typing = event.target instanceof HTMLInputElement && event.target.type === "number";
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && !typing) {
    event.preventDefault();
    undo();
  }
});
for (const button of document.querySelectorAll(".keep")) {
  button.addEventListener("click", () => {
    const name = button.dataset.point, go = button.nextElementSibling;
    kept[name] = { ...shown };
    go.querySelector("img").src = address(shown);
    go.disabled = false;
    at("way").disabled = !(kept.a && kept.b);
    at("way").value = Number(name === "b");
  });
}
for (const button of document.querySelectorAll(".go")) {
  button.addEventListener("click", () => {
    at("way").value = Number(button.dataset.point === "b");
    const { z, y } = kept[button.dataset.point];
    amounts.fill(0);
    change(null, z, y);
  });
}
at("way").addEventListener("input", () => {
  remember("way");
  const [a, b] = [kept.a, kept.b].map(({ z, y }) => ({ z, y }));
  ask(() => ({ action: "between", body: { a, b, t: Number(at("way").value) } }));
});

// The image, its files and the controls, as they are now.
let latest = null;
async function paint(answer) {
  latest = answer;
  const picture = new Image();
  picture.src = address(answer);
  await picture.decode();
  if (latest === answer) at("image").getContext("2d").drawImage(picture, 0, 0);
}
function show() {
  sync();
  at("png").href = address(shown);
  at("npy").href = `data:application/octet-stream;base64,${shown.npy}`;
  return paint(shown);
}
swatch();
strokes();
show().then(() => at("picture").setAttribute("aria-busy", "false"));
