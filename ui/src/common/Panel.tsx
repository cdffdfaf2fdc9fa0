// SPDX-License-Identifier: Apache-2.0
// A part of the page: title, a line of words, actions; a skeleton until the first answer; errors above the old data. While the
// server does not answer, which the page says once, the old data are grey.
import { Skeleton } from "@patternfly/react-core";
import type { ReactNode } from "react";
import { isFilterProblem } from "../api/client";
import type { Answered } from "../api/queries";
import { ErrorNote } from "./ErrorNote";

interface Props<T> {
  title: string;
  words?: string;
  answer: Answered<T>;
  className?: string;
  actions?: ReactNode;
  children: (data: T) => ReactNode;
}

export function Panel<T>({ title, words = "", answer, className = "", actions, children }: Props<T>) {
  const { data, error, outage } = answer;
  const own = error && !isFilterProblem(error) && !outage;
  return (
    <section className={`fg-panel ${className} ${outage ? "fg-panel-old" : ""}`} aria-label={title}>
      <header className="fg-panel-head">
        <h2>{title}</h2>
        <p>{words}</p>
        {actions}
      </header>
      {own && <ErrorNote error={error} what={data ? "Showing the last answer" : "No answer yet"} onRetry={answer.refetch} />}
      {data === undefined ? !own && <Awaited title={title} never={outage ? "No answer yet" : error ? "Not asked" : ""} /> : children(data)}
    </section>
  );
}

/** What stands where nothing was ever answered: where nothing will come, in words, nothing that moves as if something did. */
function Awaited({ title, never }: { title: string; never: string }) {
  if (never) return <p className="fg-panel-unanswered">{never}</p>;
  return <Skeleton height="100%" className="fg-panel-skeleton" screenreaderText={`Loading: ${title}`} />;
}
