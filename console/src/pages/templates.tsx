export default function Templates() {
  return <div class="page" />;
}
