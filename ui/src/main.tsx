// SPDX-License-Identifier: Apache-2.0
import "@patternfly/react-core/dist/styles/base.css";
import "./styles/base.css";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Fallback } from "./page/Fallback";
import { Pages } from "./page/Pages";

const client = new QueryClient({ defaultOptions: { queries: { refetchOnWindowFocus: false, gcTime: 60_000 } } });
const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <Fallback>
        <Pages />
      </Fallback>
    </QueryClientProvider>
  </StrictMode>,
);
