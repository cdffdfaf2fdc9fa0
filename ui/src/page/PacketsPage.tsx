// SPDX-License-Identifier: Apache-2.0
// Packet heads as a file: which, of when, from which nodes, how many; and what nodes keep of the past.
import { useRef } from "react";
import { useHeads, useStatus } from "../api/queries";
import { useKeys } from "../common/keys";
import { Panel } from "../common/Panel";
import { Chips } from "../filter/Chips";
import { FilterBar } from "../filter/FilterBar";
import { Masthead } from "../frame/Masthead";
import { CaptureForm } from "../packets/CaptureForm";
import { CaptureResult } from "../packets/CaptureResult";
import { NodesTable } from "../packets/NodesTable";
import "../packets/packets.css";
import { useCapture } from "../packets/useCapture";
import { captureParams, usePacketsView } from "../state/packets";
import { DEFAULT_VIEW } from "../state/view";

export function PacketsPage() {
  const [view, onView] = usePacketsView();
  const status = useStatus();
  const heads = useHeads();
  const capture = useCapture();
  const input = useRef<HTMLInputElement>(null);
  useKeys({
    "/": (event) => {
      event.preventDefault();
      input.current?.focus();
      input.current?.select();
    },
  });
  return (
    <>
      <a className="fg-skip" href="#fg-main">
        Skip to the packets
      </a>
      <Masthead page="packets" status={status.data} />
      <div className="fg-ask">
        <FilterBar view={{ ...DEFAULT_VIEW, filter: view.filter }} input={input} onFilter={(filter) => onView({ filter })} />
      </div>
      <Chips filter={view.filter} onFilter={(filter) => onView({ filter })} />
      <div className="fg-page">
        <main id="fg-main" className="fg-main fg-packets" tabIndex={-1}>
          <section className="fg-panel" aria-label="Capture">
            <header className="fg-panel-head">
              <h2>Capture packets</h2>
              <p>headers without payload, all nodes in one file for Wireshark, tshark and tcpdump, with names as comments</p>
            </header>
            <CaptureForm view={view} onView={onView} nodes={heads.data?.nodes ?? []} running={capture.found?.running ?? false} onStart={() => capture.start(captureParams(view))} onStop={capture.stop} />
            {capture.found && <CaptureResult found={capture.found} view={view} onKeep={capture.keep} />}
          </section>
          <Panel title="What nodes keep" words="of the past, in memory of a fixed size" answer={heads} className="fg-panel-nodes">
            {(data) => <NodesTable nodes={data.nodes} onChanged={heads.refetch} />}
          </Panel>
        </main>
      </div>
    </>
  );
} // prettier-ignore
