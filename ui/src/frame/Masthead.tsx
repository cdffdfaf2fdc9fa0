// SPDX-License-Identifier: Apache-2.0
// The top of every page: what this is, whether it is live, how complete it is, light or dark.
import { Button, Label, Switch, Tooltip } from "@patternfly/react-core";
import MoonIcon from "@patternfly/react-icons/dist/esm/icons/moon-icon";
import ShareIcon from "@patternfly/react-icons/dist/esm/icons/share-alt-icon";
import SunIcon from "@patternfly/react-icons/dist/esm/icons/sun-icon";
import { useState } from "react";
import type { LiveState } from "../api/live";
import type { Completeness, Status } from "../api/types";
import { useTheme } from "../state/theme";
import { CompletenessBadge } from "./CompletenessBadge";
import "./frame.css";
import { KeyHelp } from "./KeyHelp";

interface Props {
  status: Status | undefined;
  completeness: Completeness | undefined;
  live: boolean;
  canBeLive: boolean;
  liveState: LiveState;
  onLive: (live: boolean) => void;
  onCompleteness: () => void;
  link: () => string;
}

export function Masthead({ status, completeness, live, canBeLive, liveState, onLive, onCompleteness, link }: Props) {
  const [theme, toggleTheme] = useTheme();
  return (
    <header className="fg-masthead">
      <a className="fg-brand" href="/traffic">
        <img src="/icon.svg" alt="" width={28} height={28} />
        <span className="fg-brand-name">Flowgauge</span>
      </a>
      {status?.cluster && (
        <Label variant="outline" className="fg-wide-only">
          cluster {status.cluster}
        </Label>
      )}
      <div className="fg-masthead-end">
        <Tooltip content={liveWords(live, canBeLive, liveState)}>
          <Switch
            id="fg-live"
            className="fg-live"
            label={live && liveState === "lost" ? "Live, each 5 s" : "Live"}
            isChecked={live}
            isDisabled={!canBeLive}
            onChange={(_, checked) => onLive(checked)}
          />
        </Tooltip>
        <CompletenessBadge completeness={completeness} onClick={onCompleteness} />
        <ShareButton link={link} />
        <KeyHelp />
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
  );
}

function liveWords(live: boolean, canBeLive: boolean, state: LiveState): string {
  if (!canBeLive) return "An absolute time range does not move; choose a relative one to follow the traffic";
  if (!live) return "Follow the traffic as it happens";
  if (state === "lost") return "There is no live stream; connecting again. Until then flows come with the refresh every 5 s";
  return "Charts refresh every 5 s and new flows appear as they arrive";
}

function ShareButton({ link }: { link: () => string }) {
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
