// SPDX-License-Identifier: Apache-2.0
// The filter bar against answers as the API gives them; the browser tests use the real API.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useRef } from "react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Completion, FilterCheck } from "../src/api/types";
import { FilterBar } from "../src/filter/FilterBar";
import { DEFAULT_VIEW } from "../src/state/view";

const OFFERS: Completion[] = [
  { insert: "flow-demo ", label: "flow-demo", kind: "value", help: "", share: 0.62, at: 12, length: 0 },
  { insert: "openshift-dns ", label: "openshift-dns", kind: "value", help: "", share: 0.02, at: 12, length: 0 },
];

function check(text: string): FilterCheck {
  const bad = (message: string, at: number, length: number, suggestion?: string): FilterCheck => ({ ok: false, canonical: "", chips: [], error: { message, at, length, ...(suggestion ? { suggestion } : {}) } });
  if (text.includes("namspace")) return bad("there is no field 'namspace'", text.indexOf("namspace"), 8, "namespace");
  if (/=\s*$/.test(text)) return bad("a value is missing", text.length, 1);
  return { ok: true, error: null, canonical: text, chips: [] };
}

beforeEach(() => {
  vi.stubGlobal("fetch", (address: string) => {
    const url = new URL(address, "http://test");
    return Promise.resolve(Response.json(url.pathname.endsWith("/filter") ? check(url.searchParams.get("text") ?? "") : OFFERS));
  });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function setUp(filter = "") {
  const applied: string[] = [];
  const client = new QueryClient();
  const Bar = () => <FilterBar view={{ ...DEFAULT_VIEW, filter }} input={useRef<HTMLInputElement>(null)} onFilter={(text) => applied.push(text)} />;
  render(
    <QueryClientProvider client={client}>
      <Bar />
    </QueryClientProvider>,
  );
  return { applied, input: screen.getByRole<HTMLInputElement>("combobox"), user: userEvent.setup() };
}

it("applies what was typed on Enter", async () => {
  const { applied, input, user } = setUp();
  await user.type(input, "port = 5432{Enter}");
  expect(applied).toEqual(["port = 5432"]);
});

it("offers values with their share and takes one by keyboard", async () => {
  const { applied, input, user } = setUp();
  await user.type(input, "namespace = ");
  const offer = await screen.findByRole("option", { name: /flow-demo/ });
  expect(offer.textContent).toContain("62 %");
  await user.keyboard("{ArrowDown}{Enter}");
  expect(input.value).toBe("namespace = flow-demo ");
  expect(applied).toEqual([]);
});

it("underlines the character at fault, does not apply it, and mends it with one click", async () => {
  const { applied, input, user } = setUp();
  await user.type(input, "port = 1 and namspace = flow-demo");
  const alert = await screen.findByRole("alert");
  expect(alert.textContent).toContain("there is no field 'namspace' (character 14)");
  expect(document.querySelector("mark")?.textContent).toBe("namspace");
  await user.keyboard("{Enter}");
  expect(applied).toEqual([]);
  await user.click(screen.getByRole("button", { name: /use “namespace”/ }));
  expect(applied).toEqual(["port = 1 and namespace = flow-demo"]);
});

it("does not scold somebody who is still writing, but does when they are done", async () => {
  const { applied, input, user } = setUp();
  await user.type(input, "namespace =");
  await screen.findByRole("option", { name: /flow-demo/ });
  expect(screen.queryByRole("alert")).toBeNull();
  await user.keyboard("{Enter}");
  expect((await screen.findByRole("alert")).textContent).toContain("a value is missing");
  expect(applied).toEqual([]);
});

it("follows the URL, and clears", async () => {
  const { applied, input, user } = setUp("port = 53");
  expect(input.value).toBe("port = 53");
  await user.click(screen.getByRole("button", { name: "Clear filter" }));
  await waitFor(() => expect(applied).toEqual([""]));
});
