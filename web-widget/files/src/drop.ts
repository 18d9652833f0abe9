import { el } from "./dom";

/** Takes the files that are dropped on an element, or pasted in it; says where they can be dropped. The answer stops that. */
export function follow(at: HTMLElement, words: string, take: (files: File[]) => void): () => void {
  const sign = el("div", "drop-here", { "aria-hidden": "true" }, el("span", "", {}, words));
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = (event: DragEvent): void => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    if (!sign.isConnected) at.append(sign);
    // Leaving is told for every element inside, too, and not at all when the window is left: silence is the only sure sign.
    clearTimeout(timer);
    timer = setTimeout(() => sign.remove(), 300);
  };
  const dropped = (event: DragEvent): void => {
    const files = filesOf(event.dataTransfer);
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault(); // else the browser opens the file in place of the page
    sign.remove();
    if (files.length > 0) take(files);
  };
  const pasted = (event: ClipboardEvent): void => {
    const files = filesOf(event.clipboardData);
    // Office programs put a picture of the text beside the text: then the text is meant.
    if (files.length === 0 || event.clipboardData?.types.includes("text/plain")) return;
    event.preventDefault();
    take(files.map(named));
  };
  at.addEventListener("dragenter", over);
  at.addEventListener("dragover", over);
  at.addEventListener("drop", dropped);
  at.addEventListener("paste", pasted);
  return () => {
    clearTimeout(timer);
    sign.remove();
    at.removeEventListener("dragenter", over);
    at.removeEventListener("dragover", over);
    at.removeEventListener("drop", dropped);
    at.removeEventListener("paste", pasted);
  };
}

const filesOf = (data: DataTransfer | null): File[] => [...(data?.files ?? [])];

/** What is copied from a screen is "image.png" for every browser: the time tells them apart. */
function named(file: File): File {
  const [, ending] = /^image(\.\w+)$/.exec(file.name) ?? [];
  if (!ending) return file;
  const time = new Date().toISOString().slice(0, 19).replace("T", " ").replaceAll(":", ".");
  return new File([file], `${time}${ending}`, { type: file.type });
}
