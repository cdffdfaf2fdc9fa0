// SPDX-License-Identifier: Apache-2.0
// What the page says of a question that is not answered; the browser tests use the real API.
import { QueryClient, QueryClientProvider, useQuery } from "@tanstack/react-query";
import { act, cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, expect, it, vi } from "vitest";
import { get } from "../src/api/client";
import { REFRESH_MS, SHOWN } from "../src/api/outage";
import { SLOW_MS } from "../src/api/slow";
import type { Status } from "../src/api/types";
import { Troubles } from "../src/common/Troubles";
import { OutageBanner } from "../src/frame/OutageBanner";
import { TrafficPage } from "../src/page/TrafficPage";
import { DEFAULT_VIEW } from "../src/state/view";
import { DJANGO, edge, POSTGRES, topologyOf, trouble } from "./scene";

const STATUS = { now_ms: 1_795_646_930_000, store: { answers: true, newest_ms: 1_795_646_930_000 }, collector: { answers: true, silent: false } };
const NOTHING = { rows: [], matched: 0, sampling: "", window: { from_ms: 0, to_ms: 1 }, completeness: undefined };
const GONE = { error: { message: "the store does not answer" } };

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

it("claims no empty time range while its question is not answered", async () => {
  let answers = true;
  vi.stubGlobal("fetch", (address: string) => {
    const { pathname } = new URL(address, "http://test");
    if (pathname.endsWith("/status")) return Promise.resolve(Response.json(STATUS));
    return Promise.resolve(answers && pathname.endsWith("/flows") ? Response.json(NOTHING) : Response.json(GONE, { status: 403 }));
  });
  history.replaceState(null, "", "/traffic?live=off");
  render(
    <QueryClientProvider client={new QueryClient()}>
      <TrafficPage />
    </QueryClientProvider>,
  );
  await screen.findByText(/^Nothing was seen in this time range/);
  answers = false;
  await userEvent.click(screen.getByRole("button", { name: "Refresh" }));
  await screen.findByText(/Showing the last answer: the store does not answer/);
  expect(screen.queryByText(/^Nothing was seen/)).toBeNull();
});

it("says once for the whole page that the server does not answer, and is well again by itself", async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true });
  let status = 200;
  vi.stubGlobal("fetch", () => Promise.resolve(status === 200 ? Response.json(NOTHING) : Response.json(GONE, { status })));
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(<QueryClientProvider client={client}><OutageBanner status={undefined} /><Asks name="a" /><Asks name="b" /></QueryClientProvider>);
  await screen.findByText("a answered");
  status = 503;
  await act(() => client.refetchQueries());
  expect(screen.getAllByRole("alert")).toHaveLength(1);
  expect(screen.getByRole("alert").textContent).toMatch(/^The store does not answer\. The last answer came at \d\d:\d\d:\d\d/);
  status = 200;
  await act(() => vi.advanceTimersByTimeAsync(REFRESH_MS));
  expect(screen.queryByRole("alert")).toBeNull();
  vi.useRealTimers();
});

it("says that a question goes unanswered for long, until it is answered", async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true });
  let answer: (response: Response) => void = () => undefined;
  vi.stubGlobal("fetch", () => new Promise<Response>((resolve) => (answer = resolve)));
  render(<QueryClientProvider client={new QueryClient()}><OutageBanner status={undefined} /><Asks name="a" /></QueryClientProvider>);
  await act(() => vi.advanceTimersByTimeAsync(SLOW_MS - 2_000));
  expect(screen.queryByRole("alert")).toBeNull();
  await act(() => vi.advanceTimersByTimeAsync(4_000));
  expect(screen.getByRole("alert").textContent).toMatch(/^No answer for 1\d s\. The store is busy, or hangs\. No answer has come yet/);
  await act(() => answer(Response.json(NOTHING)));
  await act(() => vi.advanceTimersByTimeAsync(1_000));
  expect(screen.queryByRole("alert")).toBeNull();
  expect(screen.getByText("a answered")).toBeTruthy();
  vi.useRealTimers();
});

it("says that the collector does not answer, where there is one", () => {
  vi.useFakeTimers({ toFake: ["Date"], now: STATUS.store.newest_ms });
  const status = (silent: boolean) => ({ ...STATUS, collector: { silent, answers: false, problem: "the collector does not answer: timeout" } }) as Status;
  const banner = (silent: boolean) => <QueryClientProvider client={new QueryClient()}><OutageBanner status={status(silent)} /></QueryClientProvider>;
  const { rerender } = render(banner(true));
  expect(screen.getByRole("alert").textContent).toMatch(/^The collector does not answer: timeout\. What happens after the newest flow, of \d\d:\d\d:\d\d, is not known/);
  rerender(banner(false));
  expect(screen.queryByRole("alert")).toBeNull();
  vi.useRealTimers();
});

it("says once what two troubles of a conversation advise", () => {
  const one = { ...edge(DJANGO, POSTGRES, 5432), troubles: [trouble("unanswered", { advice: "see the queue" }), trouble("retransmits", { advice: "see the queue" }), trouble("rtt", { advice: "see the way" })] };
  render(<Troubles topology={{ ...topologyOf([DJANGO, POSTGRES], [one]), troubled: [0] }} view={DEFAULT_VIEW} onView={() => undefined} />);
  expect(screen.getAllByText(/^See the/).map((said) => said.textContent)).toEqual(["See the queue.", "See the way."]);
});

/** A panel that is not live: nobody but the outage asks again. */
function Asks({ name }: { name: string }) {
  const { data } = useQuery({ queryKey: [name], queryFn: () => get("flows"), meta: SHOWN });
  return data === undefined ? null : <p>{name} answered</p>;
}
