// SPDX-License-Identifier: Apache-2.0
// Asking the API. Every failure becomes an ApiError with a sentence for people.
import type { FilterProblem } from "./types";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: FilterProblem,
  ) {
    super(problem.message);
  }
}

/** Of a filter that cannot be read: the filter bar itself shows what is wrong with it. */
export const isFilterProblem = (error: Error | null): boolean => error instanceof ApiError && error.problem.at !== undefined;

export type Params = Record<string, string | number | boolean | undefined>;

/** Path and query; empty parameters are left out. */
export function address(path: string, params: Params = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return `/api/v1/${path}${text ? `?${text}` : ""}`;
}

/** The answer, when it is one; throws ApiError. */
export async function open(path: string, params: Params = {}, signal?: AbortSignal, method = "GET"): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address(path, params), { method, headers: { Accept: "application/json" }, signal: signal ?? null });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, { message: "the console's server does not answer" });
  }
  if (response.ok) return response;
  throw new ApiError(response.status, await problemOf(response));
}

/** The JSON answer; throws ApiError. */
export const get = async <T>(path: string, params: Params = {}, signal?: AbortSignal): Promise<T> => (await (await open(path, params, signal)).json()) as T;

async function problemOf(response: Response): Promise<FilterProblem> {
  try {
    const body = (await response.json()) as { error?: FilterProblem };
    if (body.error?.message) return body.error;
  } catch {
    // Not our JSON: a proxy's page, for example.
  }
  return { message: `the server answered ${response.status} ${response.statusText}`.trim() };
}
