// SPDX-License-Identifier: Apache-2.0
// The drawer: detail beside the page, which stays usable. Escape closes it; the focus goes back to where it was.
import { Button } from "@patternfly/react-core";
import TimesIcon from "@patternfly/react-icons/dist/esm/icons/times-icon";
import { type ReactNode, useEffect, useRef } from "react";
import "./drawer.css";

interface Props {
  title: string;
  onClose: () => void;
  children: ReactNode;
}

export function Drawer({ title, onClose, children }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    heading.current?.focus({ preventScroll: true });
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
    };
  }, []);
  return (
    <aside className="fg-drawer" aria-label={title}>
      <header className="fg-drawer-head">
        <h2 ref={heading} tabIndex={-1}>
          {title}
        </h2>
        <Button variant="plain" aria-label="Close" icon={<TimesIcon />} onClick={onClose} />
      </header>
      <div className="fg-drawer-body">{children}</div>
    </aside>
  );
}

export function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="fg-section">
      <h3>{title}</h3>
      {children}
    </section>
  );
}
