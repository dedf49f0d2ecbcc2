import { render } from "preact";
import { App } from "./app";
import { reloadWhenOutdated } from "./ui/outdated";
import "./ui/tokens.css";
import "./ui/base.css";

reloadWhenOutdated();
render(<App />, document.getElementById("app")!);
