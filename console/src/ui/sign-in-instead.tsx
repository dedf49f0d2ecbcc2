import { offered, session, signIn } from "../session";
import { Confirm } from "./dialog";

/** A link that signs in was opened by somebody who is signed in. Any page can have such a link, of any key, so it
 * changes nothing until they say so. */
export function SignInInstead() {
  const code = offered.value;
  if (code === null || !session.value) return null;
  return (
    <Confirm
      title="Sign in with this link instead?"
      verb="Sign in with the link"
      danger={false}
      act={() => signIn({ code })}
      onDone={() => location.assign("/console/")}
      onClose={() => (offered.value = null)}
    >
      <p>
        You are signed in with the key <strong>{session.value.key.name}</strong> of the account{" "}
        <strong>{session.value.account}</strong>. The link signs in with the key of whoever made it, and ends your
        session here.
      </p>
      <p>
        Cancel if you did not ask for it yourself, with <code>ingot console</code>.
      </p>
    </Confirm>
  );
}
