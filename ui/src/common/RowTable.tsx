// SPDX-License-Identifier: Apache-2.0
// A table of which each row opens a detail, by mouse, by its button or by keys, and that scrolls within its panel.
import AngleRightIcon from "@patternfly/react-icons/dist/esm/icons/angle-right-icon";
import { Children, type MouseEvent, type ReactNode, type RefObject, useEffect, useRef } from "react";
import "../flows/table.css";

interface TableProps {
  className?: string;
  /** Key of the row on which `j` and `k` stand: it is kept in sight. */
  cursor: string;
  /** Cells of the head but the last, which is that of the rows' buttons. */
  head: ReactNode;
  /** The rows. */
  children: ReactNode;
  /** Over the table, and below it. */
  above?: ReactNode;
  below?: ReactNode;
  frame?: RefObject<HTMLDivElement>;
  /** Whether the first row is out of sight. */
  onScrolled?: (scrolled: boolean) => void;
}

export function RowTable({ className = "", cursor, head, children, above, below, frame, onScrolled }: TableProps) {
  const own = useRef<HTMLDivElement>(null);
  const place = frame ?? own;
  useEffect(() => {
    place.current?.querySelector('[data-cursor="true"]')?.scrollIntoView({ block: "nearest" });
  }, [cursor]);
  return (
    <div className="fg-table-place">
      {above}
      <div className="fg-table-frame" ref={place} tabIndex={-1} onScroll={onScrolled && ((event) => onScrolled(event.currentTarget.scrollTop > 4))}>
        <table className={`fg-table ${className}`}>
          <thead>
            <tr>
              {head}
              <th scope="col" className="fg-col-more"><span className="fg-hidden">Detail</span></th>
            </tr>
          </thead>
          <tbody>{children}</tbody>
        </table>
        {below}
      </div>
    </div>
  );
} // prettier-ignore

interface RowProps {
  /** What opens, in words. */
  title: string;
  cursor: boolean;
  open: boolean;
  onOpen: () => void;
  /** Cells of the row but the last. */
  children: ReactNode;
  /** What stands in a row of its own below. */
  advice?: ReactNode;
}

export function OpenRow({ title, cursor, open, onOpen, children, advice }: RowProps) {
  const click = (event: MouseEvent) => {
    if (!(event.target as Element).closest("button, a") && !getSelection()?.toString()) onOpen();
  };
  return (
    <>
      <tr className={`${cursor ? "fg-cursor" : ""} ${open ? "fg-row-open" : ""} ${advice ? "fg-advised" : ""}`} data-cursor={cursor} onClick={click}>
        {children}
        <td className="fg-col-more">
          <button type="button" className="fg-more" aria-label={`Detail: ${title}`} onClick={onOpen}>
            <AngleRightIcon aria-hidden />
          </button>
        </td>
      </tr>
      {advice && (
        <tr className={`fg-advice ${open ? "fg-row-open" : ""}`} onClick={click}>
          <td colSpan={Children.count(children) + 1}>{advice}</td>
        </tr>
      )}
    </>
  );
}
