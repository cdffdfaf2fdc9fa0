// SPDX-License-Identifier: Apache-2.0
// The top of every page: what this is, which pages there are, light or dark; and what the Traffic page puts there.
import { Button, Label, Switch, Tooltip } from "@patternfly/react-core";
import MoonIcon from "@patternfly/react-icons/dist/esm/icons/moon-icon";
import ShareIcon from "@patternfly/react-icons/dist/esm/icons/share-alt-icon";
import SunIcon from "@patternfly/react-icons/dist/esm/icons/sun-icon";
import { type ReactNode, useState } from "react";
import type { LiveState } from "../api/live";
import type { Status } from "../api/types";
import { follow } from "../state/address";
import { useTheme } from "../state/theme";
import "./frame.css";
import { KeyHelp } from "./KeyHelp";
import { OutageBanner } from "./OutageBanner";
import { type PageName, PageLinks } from "./PageLinks";

interface Props {
  page: PageName;
  status: Status | undefined;
  /** What only this page has. */
  children?: ReactNode;
}

export function Masthead({ page, status, children }: Props) {
  const [theme, toggleTheme] = useTheme();
  return (
    <>
    <header className="fg-masthead">
      <a className="fg-brand" href="/traffic" onClick={follow}>
        <img src="/icon.svg" alt="" width={28} height={28} />
        <span className="fg-brand-name">Flowgauge</span>
      </a>
      {status?.cluster && (
        <Label variant="outline" className="fg-cluster">
          cluster {status.cluster}
        </Label>
      )}
      <PageLinks page={page} />
      <div className="fg-masthead-end">
        {children}
        <KeyHelp page={page} />
        <Tooltip content={theme === "dark" ? "Light theme" : "Dark theme"}>
          <Button
            variant="plain"
            aria-label={theme === "dark" ? "Use the light theme" : "Use the dark theme"}
            icon={theme === "dark" ? <SunIcon /> : <MoonIcon />}
            onClick={toggleTheme}
          />
        </Tooltip>
      </div>
    </header>
    <OutageBanner status={status} />
    </>
  );
} // prettier-ignore

interface LiveProps {
  live: boolean;
  canBeLive: boolean;
  /** Whether the last question was answered. */
  answers: boolean;
  state: LiveState;
  onLive: (live: boolean) => void;
}

export function LiveSwitch({ live, canBeLive, answers, state, onLive }: LiveProps) {
  const words = live && !answers ? "Live, no answer" : live && state === "lost" ? "Live, each 5 s" : "Live";
  return (
    <Tooltip content={liveWords(live, canBeLive, answers, state)}>
      <Switch
        id="fg-live"
        className="fg-live"
        label={words}
        aria-label={words}
        isChecked={live}
        isDisabled={!canBeLive}
        onChange={(_, checked) => onLive(checked)}
      />
    </Tooltip>
  );
}

function liveWords(live: boolean, canBeLive: boolean, answers: boolean, state: LiveState): string {
  if (!canBeLive) return "An absolute time range does not move; choose a relative one to follow the traffic";
  if (!live) return "Follow the traffic as it happens";
  if (!answers) return "What is on screen is the last answer; it is asked for again every 5 s";
  if (state === "lost") return "There is no live stream; connecting again. Until then flows come with the refresh every 5 s";
  return "Charts refresh every 5 s and new flows appear as they arrive";
}

export function ShareButton({ link }: { link: () => string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    const text = link();
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), 2500);
    } catch {
      prompt("Copy this link", text);
    }
  };
  return (
    <Tooltip content={copied ? "Link copied: it shows exactly these minutes" : "Copy a link to exactly what is shown now"} trigger="mouseenter focus click">
      <Button variant="plain" aria-label="Copy a link to this view" icon={<ShareIcon />} onClick={() => void copy()}>
        <span className="fg-wide-only fg-share-text">{copied ? "Copied" : "Share"}</span>
      </Button>
    </Tooltip>
  );
}
