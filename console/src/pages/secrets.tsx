export default function Secrets() {
  return <div class="page" />;
}
