/** What a new document may start from: the repository's own examples, which its tests build. */

import claudeCode from "../../../examples/claude-code.yaml?raw";
import heartbeatWorker from "../../../examples/heartbeat-worker.yaml?raw";
import hello from "../../../examples/hello.yaml?raw";
import pythonApi from "../../../examples/python-api.yaml?raw";
import staticSite from "../../../examples/static-site.yaml?raw";

export interface Skeleton {
  name: string;
  text: string;
}

const EMPTY = `api_version: orgo.ai/v1
template:
  name: my-machine
  version: 1.0.0
build:
  apt: []
  run: []
`;

export const SKELETONS: readonly Skeleton[] = [
  { name: "The least there is", text: EMPTY },
  { name: "Hello: one file, one command", text: hello },
  { name: "A static site behind nginx", text: staticSite },
  { name: "A Python API with a health check", text: pythonApi },
  { name: "A background worker", text: heartbeatWorker },
  { name: "An agent's machine, with a secret", text: claudeCode },
];
