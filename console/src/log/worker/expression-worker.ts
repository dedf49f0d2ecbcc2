/** A worker of the log's worker, which ends it when an expression runs wild in it. */

import { answerTo, type Question } from "./expression.ts";

const scope = self as unknown as DedicatedWorkerGlobalScope;

scope.onmessage = ({ data: question }: MessageEvent<Question>) => scope.postMessage(answerTo(question));
scope.postMessage("ready");
