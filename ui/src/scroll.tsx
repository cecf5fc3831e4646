// What is wider or longer than its place: reached and scrolled by keyboard too.

import type { ComponentChildren } from "preact";

interface ScrollProps {
  label: string;
  class?: string;
  children: ComponentChildren;
}

export const Scroll = ({ label, class: name = "", children }: ScrollProps) => (
  // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reached by keyboard
  <section class={`scroll ${name}`} tabIndex={0} aria-label={label}>
    {children}
  </section>
);
