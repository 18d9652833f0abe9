/** Larger files are not unpacked only to be shown small, in bytes. */
const mostBytes = 12_000_000;
/** Of the small picture of a file that is about to be sent, in pixels of the drawing. */
const side = 112;

/**
 * Pictures are painted on a canvas instead of being loaded by an element: that
 * needs no permission in the policy of the page that we are a guest on, and
 * nothing of a stranger's file is ever a document.
 */
export async function paint(bytes: Blob, limit?: number): Promise<HTMLCanvasElement | undefined> {
  let picture: ImageBitmap;
  try {
    picture = await createImageBitmap(bytes);
  } catch {
    return undefined; // no picture after all
  }
  const scale = limit ? Math.min(1, limit / Math.min(picture.width, picture.height)) : 1;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const on = canvas.getContext("2d");
  if (on) on.imageSmoothingQuality = "high";
  on?.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  return on ? canvas : undefined;
}

/** Puts a small picture of a chosen file in the place of what is there. */
export async function drawSmall(at: HTMLElement, file: File): Promise<void> {
  if (!/^image\/(jpeg|png|gif|webp)$/.test(file.type) || file.size > mostBytes || typeof createImageBitmap !== "function") return;
  const canvas = await paint(file, side);
  if (canvas) at.replaceChildren(canvas);
}
