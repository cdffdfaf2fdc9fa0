// SPDX-License-Identifier: Apache-2.0
// What the page says of a question that is not answered; the browser tests use the real API.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, expect, it, vi } from "vitest";
import { TrafficPage } from "../src/page/TrafficPage";

const STATUS = { store: { answers: true, newest_ms: 1_795_646_930_000 }, collector: { answers: true } };
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
