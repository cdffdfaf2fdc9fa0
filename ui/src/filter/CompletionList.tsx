// SPDX-License-Identifier: Apache-2.0
// What can be written next: fields, operators, values with their share of the traffic.
import { useEffect, useRef } from "react";
import type { Completion } from "../api/types";
import { percent } from "../format/units";

interface Props {
  id: string;
  offers: Completion[];
  active: number;
  onTake: (offer: Completion) => void;
}

export function CompletionList({ id, offers, active, onTake }: Props) {
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => {
    list.current?.children[active]?.scrollIntoView?.({ block: "nearest" });
  }, [active]);
  return (
    <ul ref={list} id={id} role="listbox" aria-label="Completions" className="fg-offers" tabIndex={-1}>
      {offers.map((offer, index) => (
        <li
          key={`${offer.kind} ${offer.label}`}
          id={`${id}-${index}`}
          role="option"
          aria-selected={index === active}
          className={index === active ? "fg-offer fg-offer-active" : "fg-offer"}
          // Before the input loses the focus, which would close the list.
          onMouseDown={(event) => {
            event.preventDefault();
            onTake(offer);
          }}
        >
          <span className="fg-offer-label">{offer.label}</span>
          <span className="fg-offer-help">{offer.help}</span>
          <span className="fg-offer-kind">{typeof offer.share === "number" ? percent(offer.share) : offer.kind}</span>
        </li>
      ))}
    </ul>
  );
}
