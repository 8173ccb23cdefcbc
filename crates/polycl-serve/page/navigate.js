// Tools that change nothing but what is seen.

import { bench } from "./bench.js";

export class Navigate {
  press(view, at) {
    this.move(view, at);
  }

  move(view, at) {
    bench.moveTo(view.plane.voxel(Math.floor(at.x), Math.floor(at.y), view.slice));
  }

  release() {}
  cancel() {}
}

/// Right and left widen and narrow the window, up and down darken and brighten.
export class WindowDrag {
  press(view, at, event) {
    this.from = { x: event.clientX, y: event.clientY, ...bench.window };
  }

  move(view, at, event) {
    const { x, y, centre, width } = this.from;
    const step = Math.max(width, 50) / 300;
    bench.setWindow(Math.round(centre + (event.clientY - y) * step), Math.round(width + (event.clientX - x) * step * 1.5));
  }

  release() {}
  cancel() {}
}

export class Pan {
  press(view, at) {
    this.from = at;
  }

  move(view, at) {
    view.panBy(this.from, at);
  }

  release() {}
  cancel() {}
}

export class Zoom {
  press(view, at, event) {
    this.about = at;
    this.last = event.clientY;
  }

  move(view, at, event) {
    view.zoomBy(Math.exp((this.last - event.clientY) / 150), this.about);
    this.last = event.clientY;
  }

  release() {}
  cancel() {}
}
