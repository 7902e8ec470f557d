/** Names for the API's shapes, whose fields `openapi.ts` has. */

import type { components } from "./openapi.js";

type Schemas = components["schemas"];
export type Workspace = Schemas["Workspace"];
export type NewWorkspace = Schemas["NewWorkspace"];
export type ExecRequest = Schemas["ExecRequest"];
export type ExecAnswer = Schemas["ExecAnswer"];
export type FileEntry = Schemas["FileEntry"];
export type Snapshot = Schemas["Snapshot"];
export type Port = Schemas["Port"];
export type PortLink = Schemas["PortLink"];
export type BackgroundProcess = Schemas["BackgroundProcess"];
export type ProcessLook = Schemas["ProcessLook"];
export type FileChange = {
  change: "created" | "written" | "removed" | "renamed" | "modified" | "lost";
  /** Relative to what is watched. */
  path: string;
};
/** Seconds, or text such as `"90s"`, `"4h"`. */
export type Duration = number | string;

export function duration(value: Duration | undefined): string | undefined {
  return typeof value === "number" ? `${Math.max(1, Math.ceil(value))}s` : value;
}
