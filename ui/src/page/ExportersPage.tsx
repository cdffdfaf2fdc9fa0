// SPDX-License-Identifier: Apache-2.0
// Who sends flows, how well they arrive, and what to do about it. The collector is asked every few seconds.
import { Button, ClipboardCopy, EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter, SearchInput } from "@patternfly/react-core";
import SearchIcon from "@patternfly/react-icons/dist/esm/icons/search-icon";
import WaitIcon from "@patternfly/react-icons/dist/esm/icons/hourglass-half-icon";
import { useMemo, useRef } from "react";
import { useExporters, useStatus } from "../api/queries";
import { useCursor } from "../common/cursor";
import { useKeys } from "../common/keys";
import { Panel } from "../common/Panel";
import { Drawer } from "../drawer/Drawer";
import { type Device, devices, found, ordered } from "../exporters/devices";
import { ExporterDetail } from "../exporters/ExporterDetail";
import { ExportersTable } from "../exporters/ExportersTable";
import { count, counted } from "../format/units";
import { Masthead } from "../frame/Masthead";
import { type ChangeExporters, type ExportersView, type Sort, useExportersView } from "../state/exporters";
import { RECEIVE } from "./Waiting";

/** Rows drawn; with more devices the words to look for choose. */
const SHOWN = 500;

/** Columns of text begin with A, columns of numbers with the largest. */
const TEXTS: readonly Sort[] = ["name", "protocol"];

export function ExportersPage() {
  const [view, onView] = useExportersView();
  const status = useStatus();
  const answer = useExporters();
  const input = useRef<HTMLInputElement>(null);
  const all = useMemo(() => devices(answer.data?.exporters ?? []), [answer.data]);
  const rows = useMemo(() => ordered(found(all, view.find), view.sort, view.descending), [all, view.find, view.sort, view.descending]);
  const shown = rows.slice(0, SHOWN);

  const { cursor, open } = useCursor(() => shown.map((one) => one.key), view.open, (key, replace) => onView({ open: key }, replace));
  useKeys({
    "/": (event) => {
      event.preventDefault();
      input.current?.focus();
      input.current?.select();
    },
    Escape: () => view.open && onView({ open: "" }),
  });
  const onSort = (sort: Sort) => onView({ sort, descending: view.sort === sort ? !view.descending : !TEXTS.includes(sort) }, true);
  return (
    <>
      <a className="fg-skip" href="#fg-main">
        Skip to the exporters
      </a>
      <Masthead page="exporters" status={status.data} />
      <div className={`fg-page ${view.open ? "fg-page-drawer" : ""}`}>
        <main id="fg-main" className="fg-main fg-single" tabIndex={-1}>
          <Panel
            title="Exporters"
            words={answer.data ? shownWords(shown.length, rows.length, all) : ""}
            answer={answer}
            className="fg-panel-table"
            actions={
              <SearchInput className="fg-find" ref={input} aria-label="Find exporters" placeholder="Name, address, protocol, advice" value={view.find}
                onChange={(_, find) => onView({ find }, true)} onClear={() => onView({ find: "" }, true)} />
            }
          >
            {(data) =>
              all.length === 0 ? <Nobody /> : rows.length === 0 ? <NotFound view={view} onView={onView} /> : (
                <ExportersTable rows={shown} nowMs={data.now_ms} view={view} cursor={cursor} onSort={onSort} onOpen={open} />
              )
            }
          </Panel>
        </main>
        {view.open && answer.data && <Opened one={all.find((one) => one.key === view.open)} nowMs={answer.data.now_ms} onClose={() => onView({ open: "" })} />}
      </div>
    </>
  );
} // prettier-ignore

/** How many there are, and how many of them need something. */
function shownWords(shown: number, matched: number, all: readonly Device[]): string {
  const advised = all.filter((one) => one.advice.length > 0).length;
  const which = shown < matched ? `the first ${count(shown)} of ${count(matched)}` : matched < all.length ? `${count(matched)} of ${count(all.length)}` : counted(all.length, "exporter");
  return advised ? `${which}; ${count(advised)} of ${all.length === 1 ? "it" : "them"} ${advised === 1 ? "needs" : "need"} a look` : which;
}

function Opened({ one, nowMs, onClose }: { one: Device | undefined; nowMs: number; onClose: () => void }) {
  return (
    <Drawer title={one ? one.name || one.addr : "Exporter"} onClose={onClose}>
      {one ? <ExporterDetail one={one} nowMs={nowMs} /> : <p>The collector has not heard this exporter since it started.</p>}
    </Drawer>
  );
}

function Nobody() {
  return (
    <EmptyState titleText="Nobody has sent anything yet" headingLevel="h2" icon={WaitIcon}>
      <EmptyStateBody>
        <p>The collector listens. Let a device send NetFlow, IPFIX or sFlow to it, or start an agent; whoever sends is here a few seconds later.</p>
        <ClipboardCopy isReadOnly hoverTip="Copy" clickTip="Copied" variant="inline-compact" isCode>
          {RECEIVE}
        </ClipboardCopy>
      </EmptyStateBody>
    </EmptyState>
  );
}

function NotFound({ view, onView }: { view: ExportersView; onView: ChangeExporters }) {
  return (
    <EmptyState titleText="No exporter like this" headingLevel="h2" icon={SearchIcon} variant="sm">
      <EmptyStateBody>None of what the table shows contains “{view.find}”.</EmptyStateBody>
      <EmptyStateFooter>
        <EmptyStateActions>
          <Button variant="secondary" onClick={() => onView({ find: "" })}>
            Show all
          </Button>
        </EmptyStateActions>
      </EmptyStateFooter>
    </EmptyState>
  );
}
