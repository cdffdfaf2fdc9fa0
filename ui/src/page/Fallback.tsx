// SPDX-License-Identifier: Apache-2.0
// When a part of the page throws, a sentence instead of a blank page. The URL still holds what was asked.
import { Button, EmptyState, EmptyStateBody, EmptyStateFooter } from "@patternfly/react-core";
import WarningIcon from "@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon";
import { Component, type ReactNode } from "react";

export class Fallback extends Component<{ children: ReactNode }, { error?: Error }> {
  override state: { error?: Error } = {};

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <EmptyState titleText="This page broke" headingLevel="h1" icon={WarningIcon} status="danger">
        <EmptyStateBody>
          {error.message}. That is a fault of this program; please report it. Reloading asks the same question again.
        </EmptyStateBody>
        <EmptyStateFooter>
          <Button onClick={() => location.reload()}>Reload</Button>
        </EmptyStateFooter>
      </EmptyState>
    );
  }
}
