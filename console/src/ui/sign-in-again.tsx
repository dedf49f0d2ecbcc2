import { useRef } from "preact/hooks";
import { SignInForm } from "../pages/sign-in";
import { hasExpired, leave, session } from "../session";
import { Dialog } from "./dialog";

/** Over the page when its session ended: what was typed stays, and goes on once one is signed in again. */
export function SignInAgain() {
  const account = useRef(session.value?.account);
  if (!hasExpired.value) {
    account.current = session.value?.account;
    return null;
  }
  // What the page shows belongs to the account before; another one gets a fresh page.
  const onDone = () => {
    if (session.value?.account !== account.current) location.assign("/console/");
  };
  return (
    <Dialog title="Your session has ended">
      <div class="dialog-body">
        <p>
          It was signed out, idle for too long, or its key was revoked. Sign in to go on; nothing on this page is lost.
        </p>
      </div>
      <SignInForm onDone={onDone} />
      <footer class="dialog-foot">
        <button type="button" class="button quiet" onClick={leave}>
          Leave this page instead
        </button>
      </footer>
    </Dialog>
  );
}
