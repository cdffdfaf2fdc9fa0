// SPDX-License-Identifier: Apache-2.0
// What went wrong and what to do; the old data stays below it.
import { Alert, AlertActionLink } from "@patternfly/react-core";

export function ErrorNote({ error, what, onRetry }: { error: Error; what: string; onRetry: () => void }) {
  return (
    <Alert
      variant="warning"
      isInline
      title={`${what}: ${error.message}`}
      actionLinks={<AlertActionLink onClick={onRetry}>Try again</AlertActionLink>}
    />
  );
}
