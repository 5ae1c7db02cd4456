/** A timer that measures silence, not duration: whoever keeps moving bytes, however slowly, never meets it. */

export class ProgressTimer {
  private timer: NodeJS.Timeout | undefined;
  private last = performance.now();

  /**
   * Calls `onSilence` once when `limitMs` passed without `touch`. While `excused()` is true the silence is ours
   * (we owe the next step) and the count starts again.
   */
  constructor(
    private readonly limitMs: number,
    private readonly excused: () => boolean,
    private readonly onSilence: () => void,
  ) {
    if (limitMs > 0 && Number.isFinite(limitMs)) this.arm(limitMs);
  }

  touch(): void {
    this.last = performance.now();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private arm(ms: number): void {
    this.timer = setTimeout(() => this.check(), Math.ceil(ms));
    this.timer.unref();
  }

  private check(): void {
    if (this.excused()) this.touch();
    const left = this.last + this.limitMs - performance.now();
    if (left <= 0) {
      this.timer = undefined;
      this.onSilence();
    } else {
      this.arm(left);
    }
  }
}
