// SPDX-License-Identifier: Apache-2.0
// A capture while it runs: asks the console, counts what comes, and keeps the file until it is saved.
import { useCallback, useEffect, useRef, useState } from "react";
import { open } from "../api/client";
import { save } from "../format/csv";
import { CaptureReader, type Packet } from "./pcapng";

export interface Captured {
  running: boolean;
  /** Whether somebody ended it before its time. */
  stopped: boolean;
  packets: number;
  bytes: number;
  seconds: number;
  first: Packet[];
  /** Nodes that take no part. */
  missing: string;
  error: Error | null;
  name: string;
}

interface Running {
  abort: AbortController;
  pieces: BlobPart[];
  name: string;
}

const SHOWN_EVERY_MS = 250;
const MEDIA_TYPE = "application/x-pcapng";

export function useCapture(): { found: Captured | undefined; start: (params: Record<string, string | number>) => void; stop: () => void; keep: () => void } {
  const [found, setFound] = useState<Captured>();
  const running = useRef<Running>();

  const start = useCallback((params: Record<string, string | number>) => {
    running.current?.abort.abort();
    const mine: Running = { abort: new AbortController(), pieces: [], name: "packets.pcapng" };
    running.current = mine;
    void follow(params, mine, (state) => running.current === mine && setFound(state));
  }, []);
  const stop = useCallback(() => running.current?.abort.abort(), []);
  const keep = useCallback(() => running.current && save(running.current.name, MEDIA_TYPE, ...running.current.pieces), []);
  useEffect(() => stop, [stop]);
  return { found, start, stop, keep };
}

/** Reads to the end; what came until then is kept when it is stopped or breaks off. */
async function follow(params: Record<string, string | number>, mine: Running, tell: (state: Captured) => void): Promise<void> {
  const reader = new CaptureReader();
  const began = Date.now();
  let missing = "";
  const say = (running: boolean, error: Error | null = null) =>
    tell({
      running, error, missing, stopped: mine.abort.signal.aborted, packets: reader.packets, bytes: reader.bytes, first: [...reader.first],
      seconds: (Date.now() - began) / 1000, name: mine.name,
    }); // prettier-ignore
  say(true);
  const clock = setInterval(() => say(true), SHOWN_EVERY_MS);
  let error: Error | null = null;
  try {
    const answer = await open("capture", params, mine.abort.signal);
    missing = answer.headers.get("X-Flowgauge-Missing") ?? "";
    mine.name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? mine.name;
    const body = answer.body?.getReader();
    for (let next = await body?.read(); next?.value; next = await body?.read()) {
      mine.pieces.push(next.value);
      reader.take(next.value);
    }
  } catch (caught) {
    if (!mine.abort.signal.aborted) error = caught instanceof Error ? caught : new Error(String(caught));
  }
  clearInterval(clock);
  say(false, error);
  if (reader.packets > 0) save(mine.name, MEDIA_TYPE, ...mine.pieces);
}
