import { Component, type ComponentChildren } from "preact";
import { wordsOf } from "./action";

interface BoundaryProps {
  /** Where one is: elsewhere is another try. */
  at: string;
  children: ComponentChildren;
}

/** Around a page: one that fails, or whose files are not there, says so and leaves the rest as it is. */
export class Boundary extends Component<BoundaryProps, { error: unknown }> {
  override state = { error: null as unknown };

  static override getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override componentDidCatch(error: unknown): void {
    console.error(error);
  }

  override componentDidUpdate(before: BoundaryProps): void {
    if (before.at !== this.props.at && this.state.error !== null) this.setState({ error: null });
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return (
      <div class="state failed" role="alert">
        <h2>This page cannot be shown</h2>
        <p>A part of it did not load, or failed. The server may have another version of it by now.</p>
        <p class="soft">{wordsOf(this.state.error)}</p>
        <button class="button primary" onClick={() => location.reload()}>
          Reload the page
        </button>
      </div>
    );
  }
}
