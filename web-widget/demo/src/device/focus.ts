/**
 * Keeps the focus where the person is. Three devices share one page here; on
 * real ones nobody minds that a chat which opens takes the focus.
 */
export function keepFocusPolite(): void {
  const focus = HTMLElement.prototype.focus;
  HTMLElement.prototype.focus = function (options) {
    if (document.hasFocus()) focus.call(this, options);
  };
}
