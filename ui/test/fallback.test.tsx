// SPDX-License-Identifier: Apache-2.0
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import { Fallback } from "../src/page/Fallback";

afterEach(cleanup);

it("shows a sentence instead of a blank page", () => {
  vi.spyOn(console, "error").mockImplementation(() => undefined);
  const Broken = () => {
    throw new Error("no such thing");
  };
  render(
    <Fallback>
      <Broken />
    </Fallback>,
  );
  expect(screen.getByRole("heading").textContent).toContain("This page broke");
  expect(screen.getByText(/no such thing/)).toBeTruthy();
});
