// Waiting for a reader: what costs time begins when its panel comes into view.

/** Resolves when an element is in view, or nearly. */
export function seen(target: Element): Promise<void> {
  return new Promise((resolve) => {
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      observer.disconnect();
      resolve();
    }, { rootMargin: "200px" });
    observer.observe(target);
  });
}
